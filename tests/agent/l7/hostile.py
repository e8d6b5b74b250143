"""Feeds arbitrary bytes to the interpreter, as the kernel would hand them over."""

from tokenflow_agent.l7.interpreter import Interpreter
from tokenflow_agent.l7.record import Kind, Protocol, Record
from tokenflow_api.telemetry_agent import Http


class NoStreams:
    """A kernel in which no stream is under way."""

    def stream(self, connection: int) -> Record | None:
        assert connection >= 0
        return None


def interpreter() -> Interpreter:
    return Interpreter(Http(path_templates=["/v1/*"]), NoStreams())


def record(
    protocol: Protocol, kind: Kind, request: bytes, response: bytes = b"", *, number: int = 1, from_server: bool = False
) -> Record:
    """Return a record of connection 7, which is the pod of cgroup 1's."""
    return Record(
        connection=7,
        cgroup=1,
        started_ns=1_000_000,
        first_ns=number if kind is Kind.FRAMES else 3_000_000,
        last_ns=9_000_000,
        network=2,
        port=8000,
        request_length=len(request),
        response_length=len(response),
        protocol=protocol,
        dialed=0,
        tls=0,
        kind=kind,
        complete=1,
        from_server=from_server,
        request=request,
        response=response,
    )


def feed(data: bytes) -> None:
    """Have every parser read ``data``; whatever it raises is a fault."""
    reader = interpreter()
    middle = data[0] if data else 0
    request, response = data[1 : 1 + middle], data[1 + middle :]
    for protocol in (Protocol.HTTP1, Protocol.POSTGRESQL, Protocol.MYSQL):
        for kind in (Kind.STREAM_OPENED, Kind.STREAM_ENDED, Kind.EXCHANGE):
            reader.take(record(protocol, kind, request, response))
    reader.take(record(Protocol.HTTP2, Kind.FRAMES, request, number=1))
    reader.take(record(Protocol.HTTP2, Kind.FRAMES, response, number=2, from_server=True))
    reader.take(record(Protocol.HTTP2, Kind.FRAMES, data, number=3))
    reader.take(record(Protocol.HTTP2, Kind.CLOSED, b""))
    reader.drain()
