from tests.hintsvc.decide.support import KEY, agent_batch, gateway_batch
from tokenflow_api.telemetry import TelemetryBatch
from tokenflow_hintsvc.decide.bottlenecks import bottlenecks
from tokenflow_hintsvc.decide.digest import digest
from tokenflow_hintsvc.decide.join import join
from tokenflow_hintsvc.decide.samples import PathKey, PathSample, Port, Socket

SOCKET = Socket(Port("default", "gateway-1", 8000), "10.0.0.0/24")


def joined(*batches: TelemetryBatch, known: dict[PathKey, list[Socket]] | None = None) -> list[PathSample]:
    return list(join([digest(batch) for batch in batches], known=known or {}).paths)


def test_the_kernels_newest_samples_count_where_streams_are_alone() -> None:
    (sample,) = joined(agent_batch(rtt_us=400_000, srtt_us=300_000, connections=2), gateway_batch(streams=2))
    assert sample.rtt_us == 400_000
    assert sample.rtt_min_us == 200_000
    assert sample.missing == ()


def test_the_median_counts_where_the_kernel_has_one() -> None:
    batch = agent_batch(rtt_us=400_000)
    seen = batch.model_copy(update={"tcp": batch.tcp.model_copy(update={"rtt_p50_us": [350_000]})})
    (sample,) = joined(seen, gateway_batch())
    assert sample.rtt_us == 350_000


def test_probes_in_the_same_class_hide_no_queue() -> None:
    diluted = agent_batch(rtt_us=1_000, srtt_us=500, connections=3)
    (sample,) = joined(diluted, gateway_batch(streams=2, srtt_us=500_000))
    assert sample.rtt_us == 500_000
    assert sample.rtt_min_us == 500_000


def test_an_old_round_trip_time_is_none() -> None:
    (sample,) = joined(gateway_batch(size=0, tokens=0, srtt_us=500_000))
    assert sample.rtt_us is None
    assert sample.missing == ("agent",)


def test_loss_is_a_share_of_what_was_sent() -> None:
    (sample,) = joined(agent_batch(sent=200, retransmits=10), gateway_batch())
    assert sample.retransmit_ratio == 0.05


def test_where_nobody_counts_segments_sent_those_received_stand_in() -> None:
    (sample,) = joined(agent_batch(sent=None, retransmits=25), gateway_batch())
    assert sample.retransmit_ratio == 0.2


def test_a_path_that_only_agents_still_see_goes_on() -> None:
    (sample,) = joined(agent_batch(), known={KEY: [SOCKET]})
    assert sample.key == KEY
    assert sample.missing == ("gateway",)
    assert sample.rtt_us == 300_000
    assert sample.delivered_tokens_per_second is None


def test_a_path_whose_streams_ended_ends() -> None:
    other = gateway_batch(tenant="free")
    assert [sample.key.tenant for sample in joined(agent_batch(), other, known={KEY: [SOCKET]})] == ["free"]


def test_connections_that_no_gateway_spoke_for_are_no_path() -> None:
    seen = join([digest(agent_batch(pod="database-0"))], known={})
    assert seen.paths == []
    assert [node.key.node for node in seen.nodes] == ["node-1"]


def test_gateways_add_up() -> None:
    (sample,) = joined(
        gateway_batch(pod="gateway-1", streams=1, tokens=10, srtt_us=100_000),
        gateway_batch(pod="gateway-2", streams=3, tokens=30, srtt_us=500_000),
    )
    assert sample.active_streams == 4
    assert sample.delivered_tokens_per_second == 40.0
    assert sample.rtt_us == 400_000


def test_tenants_share_a_bottleneck() -> None:
    samples = joined(gateway_batch(tenant="gold", size=1000, unsent=3000), gateway_batch(tenant="free", size=1000))
    (shared,) = bottlenecks(samples).values()
    assert shared.active_streams == 4
    assert shared.delivered_tokens_per_second == 80.0
    assert shared.unsent_s == 1.5


def test_what_waits_before_a_dead_link_waits_long() -> None:
    (shared,) = bottlenecks(joined(gateway_batch(size=0, tokens=0, unsent=1000))).values()
    assert shared.unsent_s == 60.0
