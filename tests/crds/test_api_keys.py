"""API keys as a tenant's Secret holds them."""

import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_api.api_keys import MAX_KEYS, ApiKey, KeyRing, hashed_line, new_key, parse_line
from tokenflow_api.errors import KeyFormatError
from tokenflow_api.pacing_policy import Tenant

DIGEST = hashlib.sha256(b"sk-gold").hexdigest()
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def parse(line: str) -> ApiKey:
    return parse_line(line, tenant="gold", name="first")


@pytest.mark.parametrize("line", ["sk-gold", f"sha256:{DIGEST}", f"sha256:{DIGEST.upper()}"])
def test_a_line_is_a_key_or_its_hash(line: str) -> None:
    assert parse(line) == ApiKey(tenant="gold", name="first", digest=bytes.fromhex(DIGEST))


def test_a_key_counts_between_its_times() -> None:
    key = parse("sk-gold not-before=2026-12-01T00:00:00Z not-after=2027-01-01T01:00:00+01:00")
    assert [key.counts_at(NEW_YEAR.timestamp() + offset) for offset in (-40 * 86_400, -1, 0, 1)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sha256:",
        "sha256:abc",
        f"sha256:{DIGEST}0",
        "sk-gold not-after",
        "sk-gold not-after=tomorrow",
        "sk-gold not-after=2027-01-01",
        "sk-gold not-after=2027-01-01T00:00:00",
        "sk-gold until=2027-01-01T00:00:00Z",
        "sk-gold sk-silver",
        "schlüssel",
        "x" * 513,
        "x " * 600,
    ],
)
def test_a_bad_line_is_refused_without_being_repeated(line: str) -> None:
    with pytest.raises(KeyFormatError) as caught:
        parse(line)
    assert "sk-" not in str(caught.value)
    assert "abc" not in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(line: str) -> None:
    try:
        parse(line)
    except KeyFormatError:
        return


def test_a_hashed_line_stands_for_its_key() -> None:
    key = new_key()
    line = hashed_line(key, not_after=NEW_YEAR)
    assert key not in line
    assert line.endswith(" not-after=2027-01-01T00:00:00Z")
    assert parse(line).digest == parse(key).digest
    assert new_key() != key


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tenants(*names: str) -> list[Tenant]:
    return [Tenant.model_validate({"name": name, "apiKeysSecretRef": {"name": f"{name}-keys"}}) for name in names]


def mount(directory: Path, revision: str, **values: str) -> None:
    """Mount a Secret as the kubelet does: files behind a link that is swapped."""
    directory.mkdir(exist_ok=True)
    (directory / revision).mkdir()
    for name, value in values.items():
        (directory / revision / name).write_text(value)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    link = directory / "..data_tmp"
    link.symlink_to(revision)
    link.rename(directory / "..data")


def test_a_new_key_counts_beside_the_old_one_and_then_alone(tmp_path: Path) -> None:
    clock, gold = Clock(), tenants("gold")
    ring = KeyRing(tmp_path, clock=clock)
    mount(tmp_path / "gold", "..1", old="sk-old")
    assert ring.refresh(gold)
    mount(tmp_path / "gold", "..2", old="sk-old", new=hashed_line("sk-new"))
    assert not ring.refresh(gold), "the disk is looked at once a second"
    clock.now += 1.1
    assert ring.refresh(gold)
    assert [key.name for key in map(ring.find, ("sk-old", "sk-new")) if key] == ["old", "new"]
    (tmp_path / "gold" / "old").unlink()
    mount(tmp_path / "gold", "..3", new=hashed_line("sk-new"))
    clock.now += 1.1
    assert ring.refresh(gold)
    assert ring.find("sk-old") is None
    assert ring.find("sk-new")


def test_a_file_written_by_hand_is_read_anew(tmp_path: Path) -> None:
    clock, gold = Clock(), tenants("gold")
    ring = KeyRing(tmp_path, clock=clock)
    assert not ring.refresh(gold) or not list(ring)
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "key").write_text("sk-gold\n")
    clock.now += 1.1
    assert ring.refresh(gold)
    assert ring.find("sk-gold")
    clock.now += 1.1
    assert not ring.refresh(gold)


def test_other_tenants_are_read_at_once(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, clock=Clock())
    mount(tmp_path / "gold", "..1", key="sk-gold")
    ring.refresh([])
    assert ring.find("sk-gold") is None
    assert ring.refresh(tenants("gold"))
    assert ring.find("sk-gold")
    assert ring.refresh([])
    assert ring.find("sk-gold") is None


def test_bad_values_are_refused_and_the_others_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = KeyRing(tmp_path)
    mount(tmp_path / "gold", "..1", bad="sk-secret and more", empty="", good="sk-gold")
    (tmp_path / "gold" / "..1" / "latin").write_bytes(b"sk-\xff")
    (tmp_path / "gold" / "latin").symlink_to("..data/latin")
    with caplog.at_level(logging.ERROR):
        ring.refresh(tenants("gold"))
    assert [key.name for key in ring] == ["good"]
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert "gold/bad" in logged
    assert "gold/latin" in logged
    assert "sk-" not in logged
    assert ring.find("") is None


def test_a_key_of_two_tenants_stays_with_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for tenant in ("gold", "silver"):
        mount(tmp_path / tenant, "..1", key="sk-same")
    ring = KeyRing(tmp_path)
    with caplog.at_level(logging.ERROR):
        ring.refresh(tenants("gold", "silver"))
    assert [key.tenant for key in ring] == ["gold"]
    assert "two tenants" in caplog.text


def test_the_number_of_keys_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mount(tmp_path / "gold", "..1", **{f"key{number:03}": f"sk-{number}" for number in range(MAX_KEYS + 1)})
    ring = KeyRing(tmp_path)
    with caplog.at_level(logging.ERROR):
        ring.refresh(tenants("gold"))
    assert len(list(ring)) == 64
    assert "too many" in caplog.text


def test_lines_from_elsewhere_stand_in_place_of_the_mount(tmp_path: Path) -> None:
    ring, gold = KeyRing(tmp_path, clock=Clock()), tenants("gold")
    mount(tmp_path / "gold", "..1", key="sk-mounted")
    ring.refresh(gold)
    ring.keep("gold", {"key": "sk-watched"})
    assert ring.refresh(gold)
    assert (ring.find("sk-mounted"), ring.find("sk-watched") is not None) == (None, True)
    ring.keep("gold", {})
    assert ring.refresh(gold), "a Secret that is gone has no keys"
    assert not list(ring)
    ring.keep("gold", None)
    assert ring.refresh(gold)
    assert ring.find("sk-mounted")
