"""The emulator of a path, with packets of the kernel."""

import os
from collections.abc import Callable

import pytest

from e2e.link.emulated import emulated
from e2e.link.path import Conditions, Phase, outage
from e2e.link.verify import Arrived, send

pytestmark = pytest.mark.netns


def test_a_path_is_as_slow_as_it_was_told_to_be() -> None:
    with emulated(f"tf-test-{os.getpid()}", number=252) as path:
        thin = (Phase(seconds=0, conditions=Conditions(kbit=400, delay_ms=20, buffer_kib=32)),)
        met = calm(
            lambda: send(path, thin, packets=120, size=1000, per_second=100),
            lambda met: met.kbit == pytest.approx(400, rel=0.05) and 500 < met.delay_p99_ms < 800,
        )
        assert met.lost_percent > 0
        assert path.counted().packets == 120

        shut = Conditions(delay_ms=40)
        phases = (Phase(seconds=0.3, conditions=Conditions()), outage(0.4, shut), Phase(seconds=0, conditions=shut))
        met = calm(
            lambda: send(path, phases, packets=100, size=200, per_second=100),
            lambda met: 0.4 <= met.longest_gap_s < 0.6,
        )
        assert (met.came, met.disordered) == (100, 0)


def calm(measure: Callable[[], Arrived], as_told: Callable[[Arrived], bool]) -> Arrived:
    """Measure until it is as told, three times at most: what else this machine does shows in some of them."""
    met = [measure()]
    while not as_told(met[-1]) and len(met) < 3:
        met.append(measure())
    assert as_told(met[-1]), met
    return met[-1]
