"""What can be told of whom, where the kernel counts by network namespace only."""

from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.identity import Pod
from tokenflow_agent.listen.overflows import share
from tokenflow_agent.listen.proc import ListenProc, _readings
from tokenflow_agent.listen.reading import Reading
from tokenflow_agent.listen.windows import table
from tokenflow_agent.sockets.namespaces import Survey
from tokenflow_agent.sockets.procnet import ListeningPort
from tokenflow_api.windows import MAX_ROWS

WEB = Pod("u1", "shop", "web-0")
DB = Pod("u2", "shop", "db-0")


def socket(port: int = 8000, *, backlog: int = 1, limit: int | None = 8, drops: int | None = 0) -> Reading:
    return Reading(cgroup=1, network=7, port=port, backlog=backlog, limit=limit, drops=drops)


def test_all_drops_were_overflows() -> None:
    shared = share(5, [socket(1, drops=2), socket(2, drops=3), socket(3)])
    assert [one.overflows for one in shared] == [2, 3, 0]


def test_one_socket_alone_dropped() -> None:
    shared = share(2, [socket(1, drops=5), socket(2)])
    assert [one.overflows for one in shared] == [2, 0]


def test_what_cannot_be_told_apart_is_not_told() -> None:
    assert [one.overflows for one in share(2, [socket(1, drops=2), socket(2, drops=3)])] == [None, None]
    assert [one.overflows for one in share(None, [socket(1, drops=2), socket(2)])] == [None, 0]
    assert [one.overflows for one in share(1, [socket(1, drops=None)])] == [None]


@given(drops=st.lists(st.integers(0, 50), max_size=6), overflows=st.none() | st.integers(0, 200))
def test_no_socket_overflows_more_than_it_drops(drops: list[int], overflows: int | None) -> None:
    shared = share(overflows, [socket(port, drops=number) for port, number in enumerate(drops)])
    for one in shared:
        assert one.overflows is None or 0 <= one.overflows <= (one.drops or 0)


def test_proc_tells_drops_of_the_only_socket_that_could_have() -> None:
    before = {"ListenDrops": 10, "ListenOverflows": 4}
    now = {"ListenDrops": 15, "ListenOverflows": 6}
    quiet, busy, busier = ListeningPort(1, 0), ListeningPort(2, 3), ListeningPort(3, 9)

    def told(*ports: ListeningPort) -> list[tuple[int | None, int | None]]:
        return [(one.drops, one.overflows) for one in _readings(7, list(ports), before, now)]

    assert told(quiet) == [(5, 2)]
    assert told(quiet, busy) == [(0, 0), (5, 2)]
    assert told(busy, busier) == [(None, None), (None, None)]
    assert [one.drops for one in _readings(7, [busy], None, now)] == [None]
    assert [one.drops for one in _readings(7, [busy, busier], now, now)] == [0, 0]


def test_sockets_that_share_a_port_are_one_row() -> None:
    rows = table(
        [
            (WEB, socket(backlog=2, limit=8, drops=1)),
            (WEB, socket(backlog=7, limit=8, drops=2)),
            (DB, socket(5432, backlog=0, limit=128)),
        ],
        start_unix_ms=5,
    )
    assert (rows.pod_name, rows.service_port) == (["web-0", "db-0"], [8000, 5432])
    assert (rows.backlog, rows.backlog_limit, rows.drops) == ([7, 0], [8, 128], [3, 0])
    assert rows.start_unix_ms == [5, 5]


def test_what_one_of_them_cannot_tell_is_unknown() -> None:
    rows = table([(WEB, socket(limit=None, drops=None)), (WEB, socket(drops=2))], start_unix_ms=5)
    assert rows.drops == [None]


def test_the_fullest_queues_are_kept() -> None:
    many = [(WEB, socket(port, backlog=0)) for port in range(1, MAX_ROWS + 1)]
    rows = table([*many, (WEB, socket(60_000, backlog=9))], start_unix_ms=5)
    assert len(rows) == MAX_ROWS
    assert 60_000 in rows.service_port


async def test_pods_that_come_and_go_do_not_pile_up() -> None:
    survey = Survey({1000 + number: 2**22 + number for number in range(50)}, 0)
    reader = ListenProc(lambda: survey)
    assert (await reader.harvest()).readings == []
    assert reader._counted == {}
