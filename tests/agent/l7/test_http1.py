from tokenflow_agent.l7 import http1
from tokenflow_agent.l7.headers import allowed

ALL = allowed([])


def test_a_request_has_its_method_target_and_trace() -> None:
    head = b"GET /v1/models?key=1 HTTP/1.1\r\nHost: x\r\nTraceParent:  00-aa-bb-01 \r\n\r\nbody"
    assert http1.request(head, headers=ALL) == ("GET", "/v1/models?key=1", "00-aa-bb-01")


def test_headers_that_are_redacted_are_not_read() -> None:
    head = b"GET / HTTP/1.1\r\ntraceparent: 00-aa-bb-01\r\n\r\n"
    assert http1.request(head, headers=allowed(["Traceparent"])) == ("GET", "/", "")


def test_the_body_is_never_taken_for_headers() -> None:
    head = b"POST / HTTP/1.1\r\n\r\ntraceparent: 00-aa-bb-01\r\n"
    assert http1.request(head, headers=ALL) == ("POST", "/", "")


def test_a_method_that_nobody_knows_counts_as_other() -> None:
    assert http1.request(b"BREW / HTTP/1.1\r\n\r\n", headers=ALL) == ("~other", "/", "")


def test_a_target_longer_than_what_was_kept_is_read_as_far_as_it_goes() -> None:
    assert http1.request(b"GET /" + b"a" * 1018, headers=ALL) == ("GET", "/" + "a" * 1018, "")


def test_what_is_no_request_is_none() -> None:
    assert http1.request(b"", headers=ALL) is None
    assert http1.request(b"GET / SPDY/3\r\n", headers=ALL) is None


def test_statuses_are_grouped() -> None:
    assert http1.status(b"HTTP/1.1 503 Busy\r\n") == 503
    assert http1.outcome(503) == "5xx"
    for nonsense in (b"", b"HTTP/1.1 ", b"HTTP/1.1 9999", b"HTTP/2 200", b"ICY 200 OK"):
        assert http1.status(nonsense) is None
