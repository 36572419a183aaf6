"""The cluster's own git server: push to deploy, over HTTPS, with the API's users and rights.

paths.py         which repository a request means, and what it wants there
access.py        who asks, and whether they may
repositories.py  bare repositories and the settings that git runs with
backend.py       git http-backend as a CGI process: streams, limits, its end
server.py        the handler: path -> caller -> right -> repository -> process
hook.py          the program that git calls before and after it takes a push
hooks.py         the socket on which those programs are answered
pushes.py        what a push may change, and the runs that come of it
counts.py        metrics
deliveries.py    webhooks of forges elsewhere
"""
