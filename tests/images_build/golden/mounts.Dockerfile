FROM debian
RUN --mount=type=cache,target=/var/cache/pip,sharing=locked,id=pip,mode=0700,uid=1000,gid=1000 --mount=src=.,dst=/src,rw pip install /src
RUN --mount=from=base,source=/usr,target=/mnt --network=none ls
RUN --mount=type=secret,id=token,required=true,env=TOKEN --mount=type=secret,target=/etc/key,mode=0400 use
RUN --mount=type=tmpfs,target=/tmp,size=64m --security=insecure true
RUN --mount='type=bind,"target=/with, comma",readonly=false' true
