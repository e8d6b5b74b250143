import socket

from tokenflow_api import tcp_info


def test_what_the_kernel_says_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x" * 1000)
            received = b""
            while len(received) < 1000:
                received += accepted.recv(1000)
            info = tcp_info.read(client)
    assert info is not None
    # The handshake counts as one byte.
    assert info.acked_bytes + info.queued_bytes in (1000, 1001)
    assert info.rtt_us > 0
    assert info.received_segments > 0
    assert info.retransmits == 0


def test_a_closed_connection_says_nothing() -> None:
    sock = socket.socket()
    sock.close()
    assert tcp_info.read(sock) is None


def test_an_old_kernel_says_less() -> None:
    info = tcp_info.parse(bytes(232), queued_bytes=5)
    assert (info.rtt_us, info.acked_bytes, info.queued_bytes) == (0, 0, 5)
