"""Which tenants a model acts for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenflow_api.modes import ModelMode
from tokenflow_api.pacing_policy import Model
from tokenflow_hintsvc.learn.arms import Arm, arm

TENANTS = [f"tenant-{number}" for number in range(2000)]


def chosen(percent: int, version: str) -> set[str]:
    spec = Model(mode=ModelMode.CANARY, canary_percent=percent)
    return {tenant for tenant in TENANTS if arm(tenant, spec, version=version) is Arm.MODEL}


@settings(deadline=None)
@given(percent=st.integers(1, 100), version=st.sampled_from(["v1", "v2", "m-12"]))
def test_the_share_is_that_of_the_policy(percent: int, version: str) -> None:
    assert abs(len(chosen(percent, version)) / len(TENANTS) - percent / 100) < 0.05


@settings(deadline=None)
@given(low=st.integers(1, 99))
def test_a_greater_share_takes_no_tenant_away(low: int) -> None:
    assert chosen(low, "v1") <= chosen(low + 1, "v1")


def test_another_version_tries_other_tenants() -> None:
    assert len(chosen(50, "v1") & chosen(50, "v2")) / 1000 < 0.6


def test_shadow_acts_for_nobody_and_active_for_all() -> None:
    assert arm("gold", Model(mode=ModelMode.SHADOW), version="v1") is Arm.CONTROL
    assert arm("gold", Model(mode=ModelMode.ACTIVE), version="v1") is Arm.MODEL
