"""Ingress: HTTP and HTTPS from outside to services, by host and path, with nginx as data plane.

    Ingresses, classes, Services, slices, Secrets -> compute -> model -> render -> nginx.conf -> test -> reload

model.py         what nginx is to do, as values
options.py       pure: nginx.ingress.kubernetes.io/* to options
paths.py         pure: which location answers which path
backends.py      pure: services to the addresses of their pods
compute.py       pure: all objects to the model
render.py        pure: the model to nginx.conf
certificates.py  certificates of Secrets, and those that the local authority signs
nginx.py         the process: start, test, reload, adopt, stop
room.py          Ingress: follows the informers
"""
