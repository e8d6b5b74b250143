"""Which headers pass."""

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_gateway.identity.sanitise import TO_READER, TO_UPSTREAM, to_reader, to_upstream

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMES = st.one_of(
    st.sampled_from(sorted(TO_UPSTREAM | TO_READER)),
    st.sampled_from(["authorization", "cookie", "set-cookie", "server", "x-forwarded-for", "connection", "host"]),
    st.text(max_size=20).map(str.lower),
)
HEADERS = st.dictionaries(NAMES, st.text(max_size=20) | st.text(max_size=5).map(lambda text: text * 1000))


def test_an_upstream_learns_what_it_needs() -> None:
    headers = {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "openai-organization": "org-1",
        "user-agent": "OpenAI/Python 2.0",
        "tracestate": "vendor=1",
        "traceparent": "00-00000000000000000000000000000001-0000000000000001-01",
        "authorization": "Bearer sk-gold",
        "api-key": "sk-gold",
        "cookie": "session=1",
        "x-forwarded-for": "192.0.2.7",
        "x-tenant-id": "gold",
        "connection": "keep-alive, x-secret",
        "transfer-encoding": "chunked",
        "content-length": "10",
        "host": "gateway.example",
    }
    assert to_upstream(headers, traceparent=TRACEPARENT) == {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "openai-organization": "org-1",
        "user-agent": "OpenAI/Python 2.0",
        "tracestate": "vendor=1",
        "traceparent": TRACEPARENT,
        "accept-encoding": "identity",
    }


def test_a_reader_learns_nothing_of_what_is_behind() -> None:
    headers = {
        "content-type": "application/json",
        "x-request-id": "req-1",
        "retry-after": "3",
        "openai-processing-ms": "12",
        "openai-organization": "the-gateways-own",
        "set-cookie": "session=1",
        "server": "uvicorn",
        "x-ratelimit-remaining-tokens": "7",
        "transfer-encoding": "chunked",
        "content-length": "10",
    }
    assert to_reader(headers) == {
        "content-type": "application/json",
        "x-request-id": "req-1",
        "retry-after": "3",
        "openai-processing-ms": "12",
    }


@given(HEADERS)
def test_no_header_outside_of_the_lists_ever_passes(headers: dict[str, str]) -> None:
    sent = to_upstream(headers, traceparent=TRACEPARENT)
    assert sent.keys() <= TO_UPSTREAM | {"traceparent", "accept-encoding"}
    returned = to_reader(headers)
    assert returned.keys() <= TO_READER
    for value in (*sent.values(), *returned.values()):
        assert not set(value) & {"\r", "\n", "\0"}
        assert len(value.encode("latin-1")) <= 4096
