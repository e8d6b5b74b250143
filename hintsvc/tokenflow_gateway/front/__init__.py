"""The reader's side: HTTP/1.1 and HTTP/2 on one port, with and without TLS."""
