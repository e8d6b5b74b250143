"""Calls over real TCP."""



from tests.gateway.upstream.servers import ASK, NO_KEYS, OK, says, serving, upstream
from tokenflow_gateway.upstream.client import UpstreamClient
from tokenflow_gateway.upstream.keys import UpstreamKeys


async def test_an_answer_is_read_whole_and_its_connection_used_again() -> None:
    async with serving(says(OK)) as server, UpstreamClient(UpstreamKeys(NO_KEYS)) as client:
        for _ in range(3):
            async with client.call(upstream(server), ASK, connect_s=1.0) as call:
                head = await call.head(within_s=1.0)
                assert (head.status, head.headers) == (200, {"content-length": "2"})
                assert await call.read(most=10, within_s=1.0) == b"ok"
        assert server.connections == 1
        assert server.requests[0] == (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\n"
            b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}" % server.port
        )
