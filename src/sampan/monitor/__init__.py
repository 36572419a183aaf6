"""What the node remembers of applications: traces that they send, figures that they show.

otlp.py      reads OTLP trace exports, protobuf and JSON
protobuf.py  reads protobuf's wire format
spans.py     one operation of a request, as it is kept
traces.py    the bounded store of spans
chains.py    call chains, the service map, and the waterfall of text
exposed.py   which pods show figures, and where
scrape.py    reads them
series.py    the bounded store of figures
receiver.py  POST /v1/traces
queries.py   what is answered about all this
room.py      all of it, put together; nothing is opened before it is used
"""
