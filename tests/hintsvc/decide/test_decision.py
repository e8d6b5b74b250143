"""Whole rounds, from samples to the snapshot."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hintsvc.decide.support import KEY, path
from tests.hintsvc.support import runtime
from tokenflow_api.hints import ALL_PATHS, Admission, Hint, PathState, Snapshot, Source
from tokenflow_api.modes import Mode
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.decide.decision import BLIND, Decision, Foresight, decide
from tokenflow_hintsvc.decide.explain import explanations
from tokenflow_hintsvc.decide.forecast import Forecast
from tokenflow_hintsvc.decide.join import Seen
from tokenflow_hintsvc.decide.memory import Memory, NodeMemory, read, written
from tokenflow_hintsvc.decide.samples import GpuSample, NodeKey, NodeSample, PathKey, PathSample
from tokenflow_hintsvc.decide.snapshots import snapshot
from tokenflow_hintsvc.view.packed import pack, unpack

FREE = PathKey("free", "llama", "10.0.0.0/24")
TWO_TENANTS = [
    {"name": "gold", "weight": 4, "priority": 100, "tokensPerMinute": 10**9},
    {"name": "free", "weight": 1, "priority": 10, "tokensPerMinute": 10**9},
]


@dataclass
class Rounds:
    """A leader without a network: rounds of a quarter of a second."""

    config: RuntimeConfig
    memory: Memory = field(default_factory=Memory)
    second: float = 0.0
    foresight: Foresight = BLIND
    decision: Decision = field(default_factory=lambda: Decision(memory=Memory()))

    def run(self, *paths: PathSample, nodes: tuple[NodeSample, ...] = ()) -> Snapshot:
        self.second += 0.25
        now_ms = round(self.second * 1000)
        seen = Seen(paths=paths, nodes=nodes, reporters=len(paths) + len(nodes))
        self.decision = decide(self.memory, seen, self.config, foresight=self.foresight, now_ms=now_ms)
        self.memory = self.decision.memory
        return snapshot(self.decision, self.config, term=1, version=1, at_unix_ms=now_ms)

    def seconds(self, first: int, last: int, *paths: PathSample) -> Snapshot:
        """Show the paths as they are, in each second from ``first`` to ``last``."""
        shown = Snapshot(term=1, version=0, generation=1, at_unix_ms=0, ttl_ms=0, health=1.0, hints=[])
        for second in range(first, last + 1):
            self.second = float(second)
            for _ in range(4):
                shown = self.run(*(_at(sample, second) for sample in paths))
        return shown


def _at(sample: PathSample, second: int) -> PathSample:
    return path(
        second,
        key=sample.key,
        rtt_s=None if sample.rtt_us is None else sample.rtt_us / 1e6,
        tokens=sample.delivered_tokens_per_second,
        streams=sample.active_streams,
        loss=sample.retransmit_ratio,
    )


def hint(of: Snapshot, tenant: str = "gold", at: str = KEY.path) -> Hint:
    return next(each for each in of.hints if (each.tenant, each.path) == (tenant, at))


def node(utilization: float, *, second: int) -> NodeSample:
    gpu = GpuSample(utilization=utilization, memory=0.5, temperature_celsius=60.0, throttled=False)
    return NodeSample(
        key=NodeKey("default/nodes", "node-1"),
        at_ms=second * 1000,
        rtt_us=1000.0,
        rtt_min_us=1000.0,
        retransmit_ratio=0.0,
        backlog_ratio=0.0,
        http_p99_us=1000.0,
        http_error_ratio=0.0,
        gpus=(gpu,),
    )


def test_without_telemetry_every_hint_is_the_fallback() -> None:
    found = hint(Rounds(runtime()).run(), at=ALL_PATHS)
    assert (found.source, found.state, found.tokens_per_second) == (Source.FALLBACK, PathState.DEGRADED, 20.0)
    assert found.missing == ["agent", "gateway"]


def test_a_clear_path_is_told_the_policys_maximum_at_once() -> None:
    found = hint(Rounds(runtime(tenants=TWO_TENANTS)).run(path(1)))
    assert (found.tokens_per_second, found.batch_size, found.reasons) == (80.0, 1, [])


def test_a_bad_link_halves_the_rate_within_five_seconds() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    rounds.seconds(1, 3, path(1))
    found = hint(rounds.seconds(4, 8, path(1, rtt_s=3.0, tokens=10.0)))
    assert found.state is PathState.CONGESTED
    assert found.tokens_per_second <= 40.0
    assert found.batch_size > 1
    assert "RTTInflation" in found.reasons
    assert "Congestion" in found.reasons


def test_a_rate_comes_back_by_and_by() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    rounds.seconds(1, 3, path(1))
    low = hint(rounds.seconds(4, 12, path(1, rtt_s=3.0, tokens=10.0))).tokens_per_second
    assert low <= 10.0
    assert hint(rounds.seconds(13, 16, path(1, tokens=low))).tokens_per_second <= 1.5 * low
    assert hint(rounds.seconds(17, 32, path(1, tokens=60.0))).tokens_per_second == 80.0


def test_the_terms_of_a_tenant_explain_its_health() -> None:
    rounds = Rounds(runtime())
    well, ill = PathKey("gold", "llama", "10.0.1.0/24"), PathKey("gold", "llama", "10.0.2.0/24")
    for second in range(1, 4):
        rounds.second = float(second)
        found = rounds.run(path(second, key=well), path(second, key=ill, errors=1.0))
    told = hint(found, at=ALL_PATHS)
    assert told.health == hint(found, at=ill.path).health < hint(found, at=well.path).health
    assert [term.signal for term in told.terms] == ["HTTPErrors"]


def flood(*, streams: int) -> list[PathSample]:
    """Return windows of a queue that is too long for batches alone."""
    return [path(1, key=key, rtt_s=3.0, tokens=50.0, streams=streams) for key in (KEY, FREE)]


def test_tenants_share_a_bottleneck_by_weight() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    rounds.seconds(1, 3, path(1, streams=2), path(1, key=FREE, streams=2))
    rounds.seconds(4, 8, *flood(streams=2))
    thin = [path(1, key=key, rtt_s=0.501, tokens=50.0, streams=2) for key in (KEY, FREE)]
    found = rounds.seconds(9, 16, *thin)
    gold, free = hint(found), hint(found, "free")
    assert gold.tokens_per_second / free.tokens_per_second == pytest.approx(37.5 / 12.5, rel=0.4)
    assert 2 * (gold.tokens_per_second + free.tokens_per_second) == pytest.approx(100.0, rel=0.02)


def test_a_window_in_which_little_arrived_takes_nobodys_share() -> None:
    rounds = Rounds(runtime(tenants=[{**tenant, "weight": 1} for tenant in TWO_TENANTS]))
    rounds.seconds(1, 3, path(1, streams=2), path(1, key=FREE, streams=2))
    rounds.seconds(4, 8, *flood(streams=2))
    thin = {key: path(1, key=key, rtt_s=0.501, tokens=50.0, streams=2) for key in (KEY, FREE)}
    rounds.seconds(9, 16, *thin.values())
    uneven = [path(1, rtt_s=0.501, tokens=100.0, streams=2), path(1, key=FREE, rtt_s=0.501, tokens=0.0, streams=2)]
    found = rounds.seconds(17, 17, *uneven)
    assert hint(found, "free").tokens_per_second == pytest.approx(25.0, rel=0.02)


def test_a_tenant_that_wants_less_leaves_the_rest_within_seconds() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    rounds.seconds(1, 3, path(1, streams=2), path(1, key=FREE, streams=2))
    rounds.seconds(4, 8, *flood(streams=2))
    rounds.seconds(9, 10, *(path(1, key=key, rtt_s=0.501, tokens=50.0, streams=2) for key in (KEY, FREE)))
    idle = [path(1, rtt_s=0.501, tokens=25.0, streams=2), path(1, key=FREE, rtt_s=0.501, tokens=75.0, streams=2)]
    found = rounds.seconds(11, 18, *idle)
    assert hint(found).tokens_per_second == pytest.approx(18.75, rel=0.02)
    assert hint(found, "free").tokens_per_second == pytest.approx(31.25, rel=0.02)


def test_a_quota_caps_each_stream_and_says_so() -> None:
    found = hint(Rounds(runtime(tenants=[{"name": "gold", "tokensPerMinute": 600}])).run(path(1, streams=5)))
    assert (found.tokens_per_second, found.reasons) == (2.0, ["Quota"])


def test_even_an_exhausted_quota_is_never_zero() -> None:
    tenants = [{"name": "gold", "tokensPerMinute": 1, "burstTokens": 1, "maxTokensPerRequest": 1}]
    assert hint(Rounds(runtime(tenants=tenants)).run(path(1, streams=1000))).tokens_per_second == 0.1


def test_a_new_leader_goes_on_where_the_last_one_was() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    rounds.seconds(1, 3, path(1))
    before = hint(rounds.seconds(4, 12, path(1, rtt_s=3.0, tokens=10.0)))
    successor = Rounds(runtime(tenants=TWO_TENANTS), memory=read(written(rounds.memory)), second=12.75)
    after = hint(successor.run(path(12, rtt_s=3.0, tokens=10.0)))
    assert after.state is PathState.CONGESTED
    assert after.tokens_per_second == pytest.approx(before.tokens_per_second, rel=0.1)
    assert after.health == before.health


def test_a_path_that_nobody_reports_is_forgotten_in_a_minute() -> None:
    rounds = Rounds(runtime())
    rounds.run(path(1))
    rounds.second = 59.0
    rounds.run()
    assert list(rounds.memory.paths) == [KEY]
    rounds.second = 62.0
    rounds.run()
    assert (rounds.memory.paths, rounds.memory.bottlenecks) == ({}, {})


def test_a_clock_that_is_set_back_holds_up_no_rate() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    rounds.seconds(10_001, 10_003, path(1))
    low = hint(rounds.seconds(10_004, 10_012, path(1, rtt_s=3.0, tokens=10.0))).tokens_per_second
    assert hint(rounds.seconds(101, 120, path(1, tokens=60.0))).tokens_per_second > 2 * low


def test_clients_from_ever_new_networks_do_not_fill_the_memory() -> None:
    rounds = Rounds(runtime())
    for second in range(1, 6):
        rounds.second = float(second)
        keys = [PathKey("gold", "llama", f"10.{second}.{at}.0/24") for at in range(600)]
        shown = rounds.run(*(path(second, key=key) for key in keys))
        assert len(shown.hints) == 513
    assert len(rounds.memory.paths) == len(rounds.memory.bottlenecks) == 1024


def test_a_path_that_agents_alone_see_goes_on_beside_ever_new_networks() -> None:
    rounds = Rounds(runtime())
    rounds.run(path(1))
    for second in range(2, 8):
        rounds.second = float(second)
        keys = [PathKey("gold", "llama", f"10.{second}.{at}.0/24") for at in range(500)]
        alone = replace(path(second, tokens=None, streams=0), missing=("gateway",))
        shown = rounds.run(alone, *(path(second, key=key) for key in keys))
        assert hint(shown).missing == ["gateway"]
    assert len(rounds.memory.paths) == 1024


def test_what_agents_alone_see_keeps_no_path_for_ever() -> None:
    rounds = Rounds(runtime())
    rounds.run(path(1))
    goes_on = []
    for second in range(2, 70):
        rounds.second = float(second)
        alone = replace(path(second, tokens=None, streams=0), missing=("gateway",))
        is_known = KEY in rounds.memory.sockets(now_ms=second * 1000)
        found = rounds.run(*([alone] if is_known else []))
        goes_on += [second for each in found.hints if each.missing == ["gateway"] and each.path == KEY.path]
    assert goes_on == list(range(2, 61))
    assert rounds.memory.paths == {}


def test_shadow_mode_computes_and_tells_clients_to_change_nothing() -> None:
    rounds = Rounds(runtime(mode="Shadow", tenants=TWO_TENANTS))
    rounds.seconds(1, 3, path(1))
    found = rounds.seconds(4, 10, path(1, rtt_s=3.0, tokens=10.0))
    told = hint(found)
    assert (told.tokens_per_second, told.batch_size, told.batch_delay_ms) == (10_000.0, 1, 0)
    assert (told.admission, told.mode, told.reasons) == (Admission.ADMIT, Mode.SHADOW, ["Shadow"])
    computed = next(each for each in found.shadow if each.path == KEY.path)
    assert computed.tokens_per_second < 20.0
    assert computed.health == told.health < 0.5
    explained = explanations(rounds.decision, found)[0].explanations
    assert [each.hint.tokens_per_second for each in explained if each.hint.path == KEY.path] == [
        computed.tokens_per_second
    ]


def test_the_stream_tells_roles_alone_what_shadow_mode_would_do() -> None:
    packed = unpack(pack(Rounds(runtime(mode="Shadow")).run(path(1))))
    assert Snapshot.model_validate_json(packed.document(["gold"], detailed=False)).shadow == []
    assert len(Snapshot.model_validate_json(packed.document(["gold"], detailed=True)).shadow) == 2


def test_off_does_neither() -> None:
    rounds = Rounds(runtime(mode="Off"))
    found = rounds.run(path(1))
    assert [(each.path, each.tokens_per_second, each.reasons) for each in found.hints] == [
        (ALL_PATHS, 10_000.0, ["Off"])
    ]
    assert (found.shadow, rounds.memory) == ([], Memory())


def test_saturated_gpus_hold_back_the_lower_priority() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    for second in range(1, 7):
        rounds.second = float(second)
        found = rounds.run(path(second), path(second, key=FREE), nodes=(node(1.0, second=second),))
    gold, free = hint(found), hint(found, "free")
    assert (gold.admission, gold.max_tokens_hint) == (Admission.ADMIT, 6144)
    assert (free.admission, free.retry_after_ms) == (Admission.QUEUE, 1000)
    assert round(gold.signals.gpu_saturation or 0.0, 2) == 1.11
    assert found.nodes[0].node == "node-1"
    assert [term.signal for term in found.nodes[0].terms] == ["GPUUtilization"]
    assert found.health == pytest.approx(0.5, abs=0.05)


def test_gpus_that_are_read_more_seldom_than_windows_pass_press_all_the_same() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    for second in range(1, 8):
        rounds.second = float(second)
        reported = node(1.0, second=second) if second % 2 else replace(node(1.0, second=second), gpus=())
        found = rounds.run(path(second), path(second, key=FREE), nodes=(reported,))
    assert hint(found, "free").admission is Admission.QUEUE
    assert [term.signal for term in found.nodes[0].terms] == ["GPUUtilization"]
    assert found.nodes[0].uncertainty == 0.0


def test_gpus_that_nobody_reads_any_more_get_no_better_and_press_no_more() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    for second in range(1, 7):
        rounds.second = float(second)
        before = rounds.run(path(second), nodes=(node(1.0, second=second),))
    for second in range(7, 110):
        rounds.second = float(second)
        after = rounds.run(path(second), nodes=(replace(node(1.0, second=second), gpus=()),))
    assert before.nodes[0].uncertainty == 0.0 < after.nodes[0].uncertainty
    assert after.nodes[0].health == pytest.approx(before.nodes[0].health)
    assert after.hints[0].signals.gpu_saturation is None


def test_a_node_that_falls_silent_gets_no_better_and_is_in_doubt() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    for second in range(1, 7):
        rounds.second = float(second)
        rounds.run(path(second), nodes=(node(1.0, second=second),))
    before = rounds.run(path(7), nodes=(node(1.0, second=7),))
    after = rounds.run(path(8))
    assert after.health == pytest.approx(before.health)
    assert after.nodes[0].health == pytest.approx(before.nodes[0].health)
    assert (before.nodes[0].uncertainty, after.nodes[0].uncertainty) == (0.0, 1.0)


def forecast(p50_s: float) -> Forecast:
    return Forecast(p10_us=0.0, p50_us=p50_s * 1e6, p90_us=p50_s * 2e6, anomaly=0.0, version="v7")


def test_a_forecast_slows_down_before_the_queue_is_there_and_is_named() -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS), foresight=Foresight(forecasts={KEY: forecast(5.0)}))
    found = rounds.seconds(1, 3, path(1), path(1, key=FREE))
    assert (hint(found).tokens_per_second, hint(found).model) == (64.0, "v7")
    assert "Model" in hint(found).reasons
    assert (hint(found, "free").tokens_per_second, hint(found, "free").model) == (80.0, "")


def test_an_explanation_tells_each_step_and_which_acted() -> None:
    rounds = Rounds(runtime(tenants=[{"name": "gold", "tokensPerMinute": 600}]))
    rounds.seconds(1, 3, path(1))
    found = rounds.seconds(4, 10, path(1, rtt_s=3.0, tokens=10.0))
    (reply,) = explanations(rounds.decision, found)
    (of_path,) = [each for each in reply.explanations if each.steps]
    assert [step.name for step in of_path.steps] == ["law", "share", "model", "slew", "bounds", "quota"]
    assert of_path.steps[0].acted
    assert of_path.steps[-1].tokens_per_second == of_path.hint.tokens_per_second
    assert [term.signal for term in of_path.terms] == [
        "RTTInflation",
        "Retransmits",
        "Backlog",
        "HTTPLatency",
        "HTTPErrors",
    ]


seen_rows = st.tuples(
    st.none() | st.floats(0.0, 60.0),
    st.none() | st.floats(0.0, 1e5),
    st.integers(0, 500),
    st.none() | st.floats(0.0, 1.0),
)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(seen_rows, seen_rows), max_size=25), p50_s=st.none() | st.floats(0.0, 60.0))
def test_no_hint_is_ever_outside_the_policy(
    rows: list[tuple[tuple[float, float, int, float], ...]], p50_s: float
) -> None:
    rounds = Rounds(runtime(tenants=TWO_TENANTS))
    if p50_s is not None:
        rounds.foresight = Foresight(forecasts={KEY: forecast(p50_s), FREE: forecast(p50_s)})
    for second, row in enumerate(rows, start=1):
        rounds.second = float(second)
        found = rounds.run(
            *(
                path(second, key=key, rtt_s=rtt, tokens=tokens, streams=streams, loss=loss)
                for key, (rtt, tokens, streams, loss) in zip((KEY, FREE), row, strict=True)
            )
        )
        for each in found.hints:
            assert 5.0 <= each.tokens_per_second <= 80.0
            assert 1 <= each.batch_size <= 16
            assert 0.0 <= each.health <= 1.0


def test_of_a_node_that_told_nothing_yet_nothing_is_known() -> None:
    rounds = Rounds(runtime())
    rounds.memory = replace(rounds.memory, nodes={NodeKey("default/nodes", "node-1"): NodeMemory(seen_ms=0)})
    (node,) = rounds.run().nodes
    assert (node.health, node.uncertainty) == (1.0, 1.0)
