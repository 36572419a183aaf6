"""exec, attach and port-forward over WebSocket and SPDY: the node's end, the CLI's end, and the way between."""

from sampan.streams.relaying import relay

__all__ = ["relay"]
