# syntax=docker/dockerfile:1
# escape=\
# just a comment, and no directive=here

ARG VERSION=12
ARG OTHER
FROM --platform=linux/amd64 debian:${VERSION:-11} AS Base
LABEL a=b "c d"="e f" g='h i'
LABEL old style value
ENV A=1 B="two words" C=three\ words
ENV old the rest of it
ARG X=$A Y
RUN apt-get update && \
    # a comment in between
    apt-get install -y \

    curl
run ["echo", "a b"]
RUN [not json]
WORKDIR /srv/${A}
USER web:web
EXPOSE 80 443/tcp 5000-5010/udp
VOLUME /data "/more data"
VOLUME ["/x", "/y"]
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
HEALTHCHECK --interval=1m30s --timeout=3s --start-period=1s --start-interval=500ms --retries=4 CMD curl -f localhost
HEALTHCHECK NONE
ONBUILD COPY . /src
MAINTAINER Someone <x@example.org>
FROM scratch
COPY --from=base --chown=1:2 --chmod=0755 --link --parents --exclude=*.pyc a "b c" d*/ /dst/
COPY ["a b", "c", "/x y/"]
ADD --checksum=sha256:00 --unpack=false http://127.0.0.1/x /x
ADD x.tar.gz /
CMD echo $HOME
CMD ["x"]
ENTRYPOINT ["/x", "y"]
ENTRYPOINT exec top -b
