from tokenflow_operator.heartbeat import ALIVE_S, READY_S, Heartbeat


def test_it_is_alive_while_anything_ends_and_not_beyond() -> None:
    now = [0.0]
    heartbeat = Heartbeat(clock=lambda: now[0])
    now[0] = ALIVE_S - 1
    assert heartbeat.alive
    heartbeat.beat()
    now[0] += ALIVE_S - 1
    assert heartbeat.alive
    now[0] += 1
    assert not heartbeat.alive


def test_it_is_ready_only_after_a_listing_and_not_long_after_the_last() -> None:
    now = [0.0]
    heartbeat = Heartbeat(clock=lambda: now[0])
    heartbeat.beat()
    assert not heartbeat.ready
    heartbeat.synced()
    assert heartbeat.ready
    now[0] = READY_S
    assert not heartbeat.ready


def test_it_is_not_alive_while_a_resource_waits_in_vain() -> None:
    now, waited = [0.0], [0.0]
    heartbeat = Heartbeat(clock=lambda: now[0])
    heartbeat.expect(lambda: waited[0])
    assert heartbeat.alive
    # It waited for somebody to lead.
    waited[0] = ALIVE_S
    assert heartbeat.alive
    now[0] = ALIVE_S
    heartbeat.beat()
    assert not heartbeat.alive
