"""The parts of the hint service's benchmark that judge: percentiles, loads, and what counts as lost, wrong or stale."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest

from e2e.bench.errors import BenchError
from e2e.bench.hintsvc.batches import batches
from e2e.bench.hintsvc.clocks import Clock
from e2e.bench.hintsvc.cluster import Replica
from e2e.bench.hintsvc.load import Latencies, failures, latencies
from e2e.bench.hintsvc.loads.connection import Connection, get
from e2e.bench.hintsvc.loads.reads import WARM_UP_S, drive
from e2e.bench.hintsvc.loads.storm import storm
from e2e.bench.hintsvc.loads.subscribers import Subscribers
from e2e.bench.hintsvc.loads.telemetry import deliver, requests
from e2e.bench.hintsvc.peers import idiomatic_aiohttp, nginx
from e2e.bench.hintsvc.reader import Answer
from e2e.bench.hintsvc.reader import get as read
from e2e.bench.hintsvc.redis import Relay
from e2e.bench.hintsvc.watch import Arrival, Outcome, Watch
from e2e.bench.programs import Program, running
from e2e.commands import run
from tokenflow_api.codec import decode
from tokenflow_api.telemetry import Reporter, TelemetryBatch

Answers = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answers) -> Iterator[int]:
    """Answer every request on a port of the loopback device."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = False

        def handle_error(self, *_: object) -> None:
            """A client that leaves in the middle of an answer is none."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(5)


def say(handler: BaseHTTPRequestHandler, body: bytes = b"{}", *, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_percentiles_are_by_the_nearest_rank() -> None:
    assert latencies(list(range(1, 1001))) == Latencies(p50=500, p99=990, p999=999, most=1000)
    assert latencies([7000], per_ms=1000) == Latencies(p50=7, p99=7, p999=7, most=7)
    with pytest.raises(BenchError, match="nothing was answered"):
        latencies([])


def test_a_server_that_stalls_is_charged_with_the_reads_that_had_to_wait() -> None:
    """A closed loop of two connections would have sent two slow reads only."""
    began = 0.0
    stalled = threading.Event()
    lock = threading.Lock()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        nonlocal began
        with lock:
            began = began or time.monotonic()
            if time.monotonic() - began > WARM_UP_S + 0.2 and not stalled.is_set():
                stalled.set()
                time.sleep(0.4)
        say(handler)

    with serving(answer) as port:
        reads = drive(port, get("/", authorization=""), connections=2, rate=200, seconds=1.0)
    assert stalled.is_set()
    assert reads.unanswered == 0
    slow = [one for one in reads.latencies_us if one > 50_000]
    assert len(slow) > 30
    assert max(slow) >= 390_000
    assert reads.statuses == {200: len(reads.latencies_us)}


def test_reads_that_are_refused_or_broken_off_are_told_apart() -> None:
    answered = 0

    def answer(handler: BaseHTTPRequestHandler) -> None:
        nonlocal answered
        answered += 1
        if answered % 2:
            say(handler, status=503)
        else:
            handler.close_connection = True

    with serving(answer) as port:
        reads = drive(port, get("/", authorization=""), connections=1, rate=100, seconds=0.3)
    assert set(reads.statuses) == {503, 0}
    assert len(reads.latencies_us) == reads.statuses[503]


def test_an_answer_that_comes_in_pieces_is_one_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connection = Connection(listening.getsockname()[1])
        server, _ = listening.accept()
        with server:
            statuses = []
            for piece in (b"HTTP/1.1 404 Not F", b"ound\r\nContent-Length: 5\r\n\r\n12", b"345"):
                server.sendall(piece)
                time.sleep(0.02)
                statuses.append(connection.receive())
        connection.socket.close()
    assert statuses == [0, 0, 404]


def test_clients_of_a_storm_that_are_refused_are_lost() -> None:
    with serving(say) as port:
        assert len(storm(port, get("/", authorization=""), clients=50)) == 50
    with serving(lambda handler: say(handler, status=503)) as port:
        assert storm(port, get("/", authorization=""), clients=5) == []


def test_subscribers_take_the_time_from_the_snapshots_stamp() -> None:
    def stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(40):
            stamp = time.time_ns() // 1_000_000 - 70
            event = f'event: snapshot\nid: 1-1\ndata: {{"term": 1, "at_unix_ms": {stamp}, "hints": []}}\n\n'
            handler.wfile.write(event[:20].encode())
            handler.wfile.write(event[20:].encode())
            time.sleep(0.05)

    with serving(stream) as port, Subscribers(port, number=3) as subscribers:
        assert subscribers.wait_for_all()
        taken = subscribers.follow(0.4)
    assert taken.broken == 0
    assert len(taken.latencies_ms) >= 9
    assert min(taken.latencies_ms) >= 70


def test_every_window_is_a_batch_that_the_service_can_read_and_that_it_has_not_seen() -> None:
    sent = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["Authorization"])
        say(handler)

    with serving(answer) as port:
        statuses = deliver(port, requests(["a", "b", "c"], first=1), connections=2, rate=60, seconds=0.5)
    assert set(statuses) == {200}
    # In turn, though what two connections bring may cross.
    times = Counter(sent)
    assert set(times) == {"Bearer a", "Bearer b", "Bearer c"}
    assert max(times.values()) - min(times.values()) <= 1

    first, second = (decode(one.split(b"\r\n\r\n", 1)[1], TelemetryBatch) for one in _third_node(2))
    assert (first.reporter, first.node) == (Reporter.AGENT, "node-2")
    assert (len(first.tcp), len(first.http), len(first.gpu)) == (40, 20, 4)
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.tcp.start_unix_ms[0] >= first.tcp.start_unix_ms[0] > 0


def _third_node(windows: int) -> list[bytes]:
    return list(islice(requests(["a", "b", "c"], first=0), 2, 3 * windows, 3))


def test_gateways_report_the_streams_that_the_agents_see_too() -> None:
    gateway, agent = next(batches(0)), next(batches(2))
    assert gateway.reporter is Reporter.GATEWAY
    sockets = set(zip(gateway.streams.pod_name, gateway.streams.destination_class, strict=True))
    assert sockets <= set(zip(agent.tcp.pod_name, agent.tcp.destination_class, strict=True))


def test_what_wrk_calls_errors_counts_as_failed() -> None:
    words = (
        "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 40\nRequests/sec: 1.0\n"
    )
    assert failures(words) == 46
    assert failures("Requests/sec: 1.0\n") == 0


def replica(name: str = "replica-0") -> Replica:
    return Replica(name=name, api_port=1, fast_port=2, program=Program(command=["true"], log=Path("log")))


def watch(*replicas: Replica) -> Watch:
    return Watch(replicas=replicas, arrivals={one.name: [] for one in replicas})


def hint(**fields: object) -> Answer:
    body = {"tenant": "gold", "tokens_per_second": 20.0, "source": "Live"} | fields
    return Answer(200, json.dumps({"hint": body}).encode())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (hint(), None),
        (hint(source="Fallback"), None),
        (hint(tokens_per_second=0), Outcome.WRONG),
        (hint(tokens_per_second=80.1), Outcome.WRONG),
        (hint(tenant="silver"), Outcome.WRONG),
        (Answer(200, b"{}"), Outcome.WRONG),
        (Answer(200, b"no JSON"), Outcome.WRONG),
        (Answer(429, b"{}"), Outcome.WRONG),
        (Answer(503, b"{}"), Outcome.FAILED),
    ],
)
def test_a_read_is_right_only_with_a_hint_of_the_tenant_within_the_policy(
    answer: Answer, outcome: Outcome | None
) -> None:
    seen = watch(replica())
    seen.take(seen.replicas[0], time.monotonic(), answer)
    assert seen.reads == 1
    assert [one.outcome for one in seen.failures] == ([outcome] if outcome else [])


def test_only_reads_that_met_a_replica_while_it_was_out_are_excused() -> None:
    dead = replica()
    seen = watch(dead)
    seen.miss(dead, time.monotonic(), Outcome.LOST, "before")
    since = time.monotonic()
    dead.leave()
    seen.miss(dead, since, Outcome.LOST, "as it died")
    seen.miss(dead, time.monotonic(), Outcome.LOST, "dead")
    dead.come_back()
    seen.miss(dead, time.monotonic(), Outcome.FAILED, "after")
    assert [(one.detail, one.excused) for one in seen.failures] == [
        ("before", False),
        ("as it died", True),
        ("dead", True),
        ("after", False),
    ]
    assert (seen.counted(Outcome.LOST), seen.counted(Outcome.LOST, excused=True)) == (1, 2)
    assert seen.counted(Outcome.FAILED) == 1


def test_a_snapshot_of_an_older_term_is_a_stale_leaders() -> None:
    seen = watch(replica())
    for at, term, version in ((0.0, 5, 1), (0.2, 5, 2), (0.4, 7, 1), (0.6, 5, 3), (0.8, 7, 2)):
        seen.arrivals["replica-0"].append(Arrival(at, term, version))
    assert seen.steps_back() == 1


def test_recovery_ends_with_the_last_pause_of_any_living_replica() -> None:
    one, other, dead = replica("one"), replica("other"), replica("dead")
    dead.outages = [(100.0, float("inf"))]
    seen = watch(one, other, dead)
    seen.arrivals["one"] = [Arrival(100 + step / 4, 1, step) for step in range(80)]
    seen.arrivals["other"] = [Arrival(99.0, 1, 1), *(Arrival(106 + step / 4, 1, step) for step in range(56))]
    assert seen.recovered_after(100.0, now=120.0) == 6.0
    assert seen.longest_silence() == 7.0
    seen.troubled["one"] = 108.0
    assert seen.recovered_after(100.0, now=120.0) == 8.0
    seen.troubled["one"] = 119.5
    assert seen.recovered_after(100.0, now=120.0) is None
    seen.troubled = {"dead": 119.5}
    assert seen.recovered_after(100.0, now=120.0) == 6.0
    assert seen.recovered_after(100.0, now=130.0) is None


async def test_a_paused_relay_refuses_nothing_and_hands_on_nothing(tmp_path: Path) -> None:
    with serving(say) as port:
        relay = Relay(tmp_path, target_port=port)
        with running(relay.program):
            relay.start()
            assert await read(relay.port, "/", timeout_s=5) == Answer(200, b"{}")
            relay.program.pause()
            with pytest.raises(TimeoutError):
                await read(relay.port, "/", timeout_s=0.2)
            relay.program.resume()
            assert await read(relay.port, "/", timeout_s=5) == Answer(200, b"{}")


def test_a_clock_is_set_for_the_programs_that_run_by_it_alone(tmp_path: Path) -> None:
    clock = Clock(tmp_path, name="redis")
    clock.set(-7200)
    before = time.time()
    shown = float(run(["date", "+%s.%N"], env=clock.env)) + 7200
    assert before - 0.1 <= shown <= time.time() + 0.1


@pytest.mark.parametrize("peer", [nginx, idiomatic_aiohttp])
async def test_peers_answer_the_very_bytes(tmp_path: Path, peer: Callable[..., object]) -> None:
    made = peer(tmp_path, b'{"hint": "it\'s"}')
    with running(made.program):
        made.start(core=0)
        assert await read(made.port, "/v1/hints/gold", timeout_s=5) == Answer(200, b'{"hint": "it\'s"}')
