"""The parts of the agent's benchmark that judge: ratios, reports, and what counts as lost."""

import json
import os
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.bench.agent.ingest import Ingest
from e2e.bench.agent.site import CLIENT, SERVER, site
from e2e.bench.figures import Figure, median_ratio
from e2e.bench.report import as_json, as_markdown
from tokenflow_api.codec import encode
from tokenflow_api.telemetry import Reporter, TelemetryBatch
from tokenflow_api.windows import Direction, TcpWindows

RATES = st.lists(st.floats(min_value=0.1, max_value=1e9), min_size=1, max_size=30)


@given(RATES)
def test_a_change_that_all_rounds_share_leaves_the_ratio_alone(rates: list[float]) -> None:
    ratio = median_ratio([2 * rate for rate in rates], rates)
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


@given(RATES, st.randoms(use_true_random=False))
def test_the_interval_holds_the_median(rates: list[float], chance: object) -> None:
    shuffled = list(rates)
    chance.shuffle(shuffled)
    ratio = median_ratio(shuffled, rates)
    assert ratio.low <= ratio.value <= ratio.high


def test_the_interval_is_that_of_the_rounds() -> None:
    ratio = median_ratio([9, 10, 11, 10, 10], [10, 10, 10, 10, 10])
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 0.9, 1.1)


def batch(sequence: int, *, segments: int, boot: str = "boot") -> TelemetryBatch:
    columns = {name: [0] for name in TcpWindows.model_fields}
    texts = {name: ["x"] for name in ("pod_namespace", "pod_name", "pod_uid", "destination_class")}
    tcp = TcpWindows.model_validate(columns | texts | {"direction": [Direction.SERVED], "segments": [segments]})
    return TelemetryBatch(
        reporter=Reporter.AGENT, node="n", boot_id=boot, sequence=sequence, sent_at_unix_ms=0, tcp=tcp
    )


def deliver(ingest: Ingest, sent: TelemetryBatch) -> dict[str, object]:
    return httpx.post(f"{ingest.url}/v1/telemetry", content=encode(sent), timeout=5).json()


def test_a_window_that_never_came_is_missing_and_one_that_came_twice_counts_once() -> None:
    ingest = Ingest()
    with ingest.listening():
        assert deliver(ingest, batch(1, segments=5))["duplicate"] is False
        assert deliver(ingest, batch(3, segments=7))["duplicate"] is False
        assert deliver(ingest, batch(3, segments=7))["duplicate"] is True
    assert (ingest.missing(), ingest.duplicates) == (1, 1)
    assert ingest.segments == {"boot": {1: 5, 3: 7}}


def test_a_hint_service_that_is_away_comes_back_at_the_same_address() -> None:
    ingest = Ingest()
    with ingest.listening():
        url = ingest.url
    with pytest.raises(httpx.ConnectError):
        deliver(ingest, batch(1, segments=1))
    with ingest.listening():
        assert ingest.url == url
        deliver(ingest, batch(1, segments=1))
    assert ingest.missing() == 0


def test_the_report_says_what_is_not_met() -> None:
    figures = [
        Figure(name="CPU", value="0.5 %", goal="< 1 %", met=True, how="at rest"),
        Figure(name="Memory", value="50 MB", goal="< 40 MB", met=False),
    ]
    page = as_markdown(figures, head="# Measured\n")
    assert "| CPU | 0.5 % | < 1 % | met | at rest |" in page
    assert "| Memory | 50 MB | < 40 MB | **not met** |" in page
    assert [figure["met"] for figure in json.loads(as_json(figures))["figures"]] == [True, False]


@pytest.mark.netns
def test_a_load_is_counted_in_its_own_network_namespace_and_nothing_of_it_stays() -> None:
    if os.geteuid() != 0:
        pytest.skip("network namespaces and cgroups need root")
    with site() as place:
        with place.running(SERVER, "segments", "serve", "7000"):
            done = place.run(CLIENT, "segments", "drive", "7000", "4", "400", "1", timeout_s=30)
        assert 0 < done["segments"] <= place.tcp_counters()["InSegs"]
        networks = {pod.netns for pod in place.pods.values()}
    left = [*(Path("/var/run/netns", netns) for netns in networks), place.cgroup_root, place.scratch]
    assert not any(path.exists() for path in left)
