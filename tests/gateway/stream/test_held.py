from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.stream.support import ROLE, token
from tokenflow_gateway.stream.deltas import DeltaReader, Raw
from tokenflow_gateway.stream.held import Held
from tokenflow_gateway.stream.merge import merged

ROLE_PIECE = Raw(ROLE)


def held(*said: str) -> Held:
    waiting, reader = Held(), DeltaReader()
    for text in said:
        waiting.add(ROLE_PIECE if text == "role" else reader.read(token(text).removesuffix(b"\n\n")))
    return waiting


def test_a_batch_has_so_many_tokens_and_what_has_none_behind_them() -> None:
    waiting = held("a", "b", "role", "c", "d")
    assert merged(waiting.take(2)) == token("ab") + ROLE
    assert (waiting.tokens, len(waiting)) == (2, 1)
    assert merged(waiting.take(9)) == token("cd")
    assert (waiting.tokens, waiting.size, len(waiting)) == (0, 0, 0)


def test_what_carries_no_token_is_free_to_go_at_once() -> None:
    assert held("role", "a").free
    assert not held("a", "role").free


def test_an_event_of_more_tokens_than_a_batch_has_goes_by_itself() -> None:
    waiting = held("a")
    waiting.add(Raw(b"data: {}\n\n", tokens=5))
    assert merged(waiting.take(2)) == token("a")
    assert waiting.take(2) == [Raw(b"data: {}\n\n", tokens=5)]


def test_it_is_full_with_too_many_tokens_or_bytes() -> None:
    assert held(*["a"] * 256).full
    assert held("a" * 70_000).full
    assert not held(*["a"] * 255).full


@given(said=st.lists(st.sampled_from(["role", "a", "bb"]), max_size=30), sizes=st.lists(st.integers(1, 8), min_size=30))
def test_all_comes_out_in_order_whatever_the_batches(said: list[str], sizes: list[int]) -> None:
    waiting, whole = held(*said), b"".join(ROLE if text == "role" else token(text) for text in said)
    taken = [piece for size in sizes for piece in waiting.take(size)]
    assert b"".join(merged([piece]) for piece in taken).count(b"role") == whole.count(b"role")
    assert (waiting.tokens, waiting.size) == (0, 0)
