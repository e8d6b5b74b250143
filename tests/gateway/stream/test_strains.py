from tokenflow_gateway.stream.strains import MOST_NETWORKS, Strains

NETWORK = "192.0.2.0/24"


def test_a_network_that_wanted_batches_is_remembered_for_a_while() -> None:
    strains = Strains()
    strains.tell(NETWORK, 0.5, now=0.0)
    strains.tell(NETWORK, 1.0, now=1.0)
    strains.tell(NETWORK, 0.25, now=2.0)
    assert [strains.share(NETWORK, now=now) for now in (2.0, 11.9, 12.0)] == [1.0, 1.0, 0.0]


def test_a_network_that_soon_wants_them_again_is_remembered_ever_longer() -> None:
    strains, now, held = Strains(), 0.0, []
    for _ in range(6):
        strains.tell(NETWORK, 1.0, now=now)
        began = now
        while strains.share(NETWORK, now=now):
            now += 1.0
        held.append(now - began)
    assert held == [10.0, 20.0, 40.0, 80.0, 120.0, 120.0]
    strains.tell(NETWORK, 1.0, now=now + 60.0)
    assert strains.share(NETWORK, now=now + 75.0) == 0.0


def test_no_more_networks_are_remembered_than_fit_and_old_ones_make_room() -> None:
    strains = Strains()
    for number in range(MOST_NETWORKS):
        strains.tell(str(number), 1.0, now=0.0)
    strains.tell(NETWORK, 1.0, now=5.0)
    assert strains.share(NETWORK, now=5.0) == 0.0
    strains.tell(NETWORK, 1.0, now=30.0)
    assert strains.share(NETWORK, now=30.0) == 1.0
