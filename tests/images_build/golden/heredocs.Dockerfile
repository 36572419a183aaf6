FROM debian
RUN <<EOF
echo "hello $X"
# no comment
EOF
RUN cat <<-"ONE" <<TWO > /x \
  && true
	tabs go
	ONE
$two
TWO
RUN <<EOF
#!/usr/bin/python3
print("x")
EOF
COPY <<a.txt <<'b.txt' /files/
a is $A
a.txt
b is $B
b.txt
ONBUILD RUN <<EOF
later
EOF
RUN echo $((1 << 2)) "<<no" <<<word
