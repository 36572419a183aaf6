# SYNTAX = x/y:1
#notadirective
# escape=`
from a
run x \
  y
	RUN z \\
CMD x