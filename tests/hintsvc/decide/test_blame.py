import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_hintsvc.decide.blame import Blame

TARGET_S = 0.5


def after(blame: Blame, *windows: tuple[float, float], lossy: bool = False) -> Blame:
    for queue_s, delivered in windows:
        blame = blame.next(queue_s=queue_s, delivered=delivered, target_s=TARGET_S, lossy=lossy)
    return blame


@given(capacity=st.floats(500.0, 1e6), offered=st.lists(st.floats(0.0, 2.0), min_size=20, max_size=120))
def test_a_queue_of_ones_own_is_never_put_down_to_others(capacity: float, offered: list[float]) -> None:
    blame, queued = Blame(), 2.0 * capacity
    for share in offered:
        delivered = min(capacity, queued + share * capacity)
        queued += share * capacity - delivered
        blame = after(blame, (queued / capacity, delivered))
        assert not blame.others


@given(before=st.floats(500.0, 1e6), share=st.floats(0.01, 0.5), queue_s=st.floats(0.6, 3.9))
def test_a_queue_that_stays_though_less_is_sent_is_others(before: float, share: float, queue_s: float) -> None:
    sent = after(Blame(), *[(queue_s, before)] * 3)
    assert not sent.others
    assert after(sent, *[(queue_s, share * before)] * 8).others


@given(before=st.floats(500.0, 1e6), share=st.floats(0.05, 0.75))
def test_a_path_that_slows_down_is_no_sign_of_others(before: float, share: float) -> None:
    # What was queued takes as many times longer as the path is slower.
    sent = after(Blame(), *[(1.0, before)] * 4)
    assert not after(sent, *[(1.0 / share, share * before)] * 8).others


@pytest.mark.parametrize("queue_s", [0.4, 4.1])
def test_a_short_queue_is_nobodys_and_a_very_long_one_never_others(queue_s: float) -> None:
    assert not after(Blame(), *[(queue_s, 1000.0)] * 3, *[(queue_s, 100.0)] * 40).others


def test_a_lull_that_is_shorter_than_the_queue_tells_nothing() -> None:
    sent = after(Blame(), *[(3.0, 1000.0)] * 3)
    assert not after(sent, *[(3.0, 100.0)] * 3, *[(3.0, 1000.0)] * 3, *[(3.0, 100.0)] * 3).others


def test_a_queue_that_doubles_is_judged_anew() -> None:
    others = after(Blame(), (1.0, 1000.0), *[(1.0, 100.0)] * 6)
    assert others.others
    assert after(others, *[(1.9, 100.0)] * 50).others
    assert not after(others, (2.1, 100.0)).others


def test_a_long_one_is_once_it_is_four_targets_longer() -> None:
    others = after(Blame(), (3.0, 1000.0), *[(3.0, 100.0)] * 8)
    assert after(others, (4.9, 100.0)).others
    assert not after(others, (5.1, 100.0)).others


def test_a_lossy_path_tells_nothing() -> None:
    # Behind a lost packet nothing is acknowledged until it was sent again.
    sent = after(Blame(), *[(2.0, 1000.0)] * 3)
    assert not after(sent, *[(2.0, 100.0)] * 20, lossy=True).others


def test_what_was_long_ago_is_not_compared_with() -> None:
    sent = after(Blame(), *[(1.0, 1000.0)] * 12)
    slower = [(1.0, 1000.0 - 10 * number) for number in range(60)]
    assert not after(sent, *slower).others
