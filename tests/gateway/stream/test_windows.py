from tests.gateway.stream.support import ROUTE
from tokenflow_api.windows import MAX_ROWS, OTHER_CLASS
from tokenflow_gateway.stream.meters import Observation
from tokenflow_gateway.stream.routes import Route
from tokenflow_gateway.stream.windows import MAX_ROUTES, MAX_SEEN, Place, WindowTable

SEEN = Observation(tokens=2.0, size=100, unsent_bytes=10, srtt_us=1000, min_rtt_us=900, retransmits=1)
PLACE = Place(pod_namespace="n", pod_name="p", service_port=8000)


def test_streams_of_one_route_are_one_row() -> None:
    table = WindowTable()
    for _ in range(3):
        table.add(ROUTE, SEEN, streams=1)
    rows = table.windows(7, place=PLACE)
    assert (rows.active_streams, rows.delivered_tokens, rows.unsent_bytes) == ([3], [6], [30])
    assert (rows.srtt_us, rows.min_rtt_us, rows.retransmits) == ([1000], [900], [3])
    assert (rows.start_unix_ms, rows.pod_name, rows.service_port) == ([7], ["p"], [8000])


def test_what_a_stream_delivered_before_it_ended_counts_though_it_is_active_no_more() -> None:
    table = WindowTable()
    table.add(ROUTE, SEEN, streams=0)
    rows = table.windows(7, place=PLACE)
    assert (rows.active_streams, rows.delivered_tokens) == ([0], [2])


def test_more_routes_than_fit_are_put_together_and_nothing_is_lost() -> None:
    table = WindowTable()
    for number in range(MAX_SEEN + 1000):
        table.add(Route("gold", "llama", f"2001:db8:{number:x}::/48"), SEEN, streams=1)
    rows = table.windows(7, place=PLACE)
    assert len(rows) in (MAX_ROUTES, MAX_ROUTES + 1)
    assert len(rows) <= MAX_ROWS
    assert rows.destination_class.count(OTHER_CLASS) == 1
    assert sum(rows.active_streams) == MAX_SEEN + 1000
