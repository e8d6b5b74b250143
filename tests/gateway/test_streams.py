from tokenflow_api.windows import MAX_ROWS, OTHER_CLASS
from tokenflow_gateway.streams import MAX_ROUTES, Observation, Route, windows

SEEN = Observation(tokens=2.0, size=100, unsent_bytes=10, srtt_us=1000, min_rtt_us=900, retransmits=1)


def test_streams_of_one_route_are_one_row() -> None:
    route = Route("gold", "llama", "192.0.2.0/24")
    rows = windows([(route, SEEN)] * 3, start_unix_ms=7, pod_namespace="n", pod_name="p", service_port=8000)
    assert (rows.active_streams, rows.delivered_tokens, rows.unsent_bytes) == ([3], [6], [30])
    assert (rows.start_unix_ms, rows.pod_name, rows.service_port) == ([7], ["p"], [8000])


def test_more_routes_than_fit_are_put_together_and_nothing_is_lost() -> None:
    routes = [Route("gold", "llama", f"2001:db8:{number:x}::/48") for number in range(MAX_ROWS + 1)]
    rows = windows(
        [(route, SEEN) for route in routes], start_unix_ms=0, pod_namespace="n", pod_name="p", service_port=8000
    )
    assert len(rows) == MAX_ROUTES + 1
    assert rows.destination_class.count(OTHER_CLASS) == 1
    assert sum(rows.active_streams) == len(routes)
