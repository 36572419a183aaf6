# escape=`
FROM base
RUN dir C:\windows `
  /s
COPY a`  b /c
