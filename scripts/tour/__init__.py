"""What scripts/demo shows: hello.py first, then the whole way of examples/guestbook in guestbook.py."""
