from pathlib import Path

import pytest

from tokenflow_api.api_keys import KeyRing, hashed_line
from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.errors import TooManyStreamsError, UnauthorizedError
from tokenflow_gateway.tenants import OpenStreams, identify


def config(*tenants: dict[str, object]) -> RuntimeConfig:
    spec = {"tenants": list(tenants), "gateway": {"upstreams": [{"name": "a", "url": "http://a"}]}}
    return RuntimeConfig(
        namespace="default", name="demo", uid="u", generation=1, spec=PacingPolicySpec.model_validate(spec)
    )


KEYED: dict[str, object] = {"name": "gold", "apiKeysSecretRef": {"name": "gold-keys"}}
OPEN: dict[str, object] = {"name": "free"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "first").write_text("sk-one\n")
    (tmp_path / "gold" / "second").write_text("sk-two")
    (tmp_path / "gold" / "..data").mkdir()
    return tmp_path


@pytest.mark.parametrize("key", ["sk-one", "sk-two"])
def test_every_key_of_a_tenant_counts(keys: Path, key: str) -> None:
    assert identify({"Authorization": f"Bearer {key}"}, config(KEYED, OPEN), keys=KeyRing(keys)).name == "gold"


def test_a_key_that_has_ended_is_refused_by_its_name(keys: Path) -> None:
    (keys / "gold" / "old").write_text("sk-old not-after=2026-01-01T00:00:00Z")
    with pytest.raises(UnauthorizedError, match="'old'"):
        identify({"Authorization": "Bearer sk-old"}, config(KEYED, OPEN), keys=KeyRing(keys))


def test_a_key_may_be_stored_hashed(keys: Path) -> None:
    (keys / "gold" / "hashed").write_text(hashed_line("sk-three"))
    assert identify({"Authorization": "Bearer sk-three"}, config(KEYED), keys=KeyRing(keys)).name == "gold"


def test_a_tenant_with_a_key_cannot_be_named(keys: Path) -> None:
    with pytest.raises(UnauthorizedError, match="API key"):
        identify({"x-tenant-id": "gold"}, config(KEYED, OPEN), keys=KeyRing(keys))


def test_an_open_tenant_can_be_named(keys: Path) -> None:
    second: dict[str, object] = {"name": "trial"}
    assert identify({"x-tenant-id": "trial"}, config(OPEN, second), keys=KeyRing(keys)).name == "trial"


def test_the_only_open_tenant_need_not_be_named(keys: Path) -> None:
    assert identify({"Authorization": "Bearer whatever"}, config(KEYED, OPEN), keys=KeyRing(keys)).name == "free"


def test_without_an_open_tenant_a_key_is_needed(keys: Path) -> None:
    with pytest.raises(UnauthorizedError, match="Bearer"):
        identify({"Authorization": "Bearer wrong"}, config(KEYED), keys=KeyRing(keys))


def test_streams_are_counted_per_tenant() -> None:
    gold, free = config({"name": "gold", "maxConcurrentStreams": 1}, OPEN).spec.tenants
    streams = OpenStreams()
    with streams.one_more(gold), streams.one_more(free), pytest.raises(TooManyStreamsError), streams.one_more(gold):
        pass
    with streams.one_more(gold):
        pass
