from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hintsvc.support import runtime
from tokenflow_api.quota import AdmitReply, AdmitRequest, Refusal
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.admission.local import Hold, LocalQuotas

MINUTE_US = 60_000_000


@dataclass
class Clock:
    us: int = 10 * MINUTE_US

    def __call__(self) -> int:
        return self.us


def policy(*, failure_mode: str = "Local", replicas: int = 2, **tenant: object) -> RuntimeConfig:
    upstreams = [{"name": "llama", "url": "http://llama"}]
    return runtime(
        failureMode=failure_mode,
        tenants=[{"name": "gold"} | tenant],
        gateway={"upstreams": upstreams, "replicas": replicas},
    )


def local(config: RuntimeConfig) -> tuple[LocalQuotas, Clock]:
    clock = Clock()
    quotas = LocalQuotas(now_us=clock)
    quotas.configure(config)
    return quotas, clock


def ask(*, max_tokens: int = 10, stream: bool = False) -> AdmitRequest:
    return AdmitRequest(tenant="gold", max_tokens=max_tokens, stream=stream)


def admitted(answer: tuple[AdmitReply, Hold | None]) -> bool:
    return answer[0].admitted


def test_a_replica_admits_its_share_of_the_requests() -> None:
    quotas, clock = local(policy(requestsPerMinute=60))
    assert sum(admitted(quotas.admit(ask())) for _ in range(100)) == 30
    reply, hold = quotas.admit(ask())
    assert (reply.refusal, reply.local, hold) == (Refusal.REQUESTS, True, None)
    assert (reply.requests.limit, reply.requests.remaining) == (30, 0)
    clock.us += reply.retry_after_ms * 1000
    assert admitted(quotas.admit(ask()))


def test_a_replica_opens_its_share_of_the_streams() -> None:
    quotas, _ = local(policy(maxConcurrentStreams=4))
    held = [hold for _, hold in (quotas.admit(ask(stream=True)) for _ in range(2)) if hold]
    assert quotas.admit(ask(stream=True))[0].refusal is Refusal.STREAMS
    quotas.settle(held[0], used=5)
    assert admitted(quotas.admit(ask(stream=True)))


def test_tokens_that_were_not_used_are_given_back() -> None:
    quotas, _ = local(policy(tokensPerMinute=2000, burstTokens=2000, maxTokensPerRequest=1000))
    _, hold = quotas.admit(ask(max_tokens=1000))
    assert hold is not None
    assert quotas.admit(ask(max_tokens=400))[0].refusal is Refusal.TOKENS
    quotas.settle(hold, used=300)
    assert admitted(quotas.admit(ask(max_tokens=400)))


def test_tokens_used_beyond_what_was_held_are_charged() -> None:
    quotas, _ = local(policy(tokensPerMinute=2000, burstTokens=2000, maxTokensPerRequest=1000))
    _, hold = quotas.admit(ask(max_tokens=100))
    assert hold is not None
    quotas.settle(hold, used=950)
    assert quotas.admit(ask(max_tokens=100))[0].refusal is Refusal.TOKENS


def test_what_the_hint_service_admitted_here_counts_when_it_falls_silent() -> None:
    quotas, _ = local(policy(requestsPerMinute=60))
    for _ in range(29):
        quotas.note(ask(), tokens=10)
    assert [admitted(quotas.admit(ask())) for _ in range(2)] == [True, False]


def test_allow_admits_everything_and_deny_nothing() -> None:
    allowing, _ = local(policy(failure_mode="Allow", requestsPerMinute=2))
    assert all(admitted(allowing.admit(ask())) for _ in range(50))
    denying, _ = local(policy(failure_mode="Deny"))
    reply, hold = denying.admit(ask())
    assert (reply.refusal, reply.retry_after_ms, hold) == (Refusal.STORE, 1000, None)


def test_new_limits_hold_at_once_and_what_was_taken_stays_taken() -> None:
    quotas, _ = local(policy(requestsPerMinute=60))
    assert sum(admitted(quotas.admit(ask())) for _ in range(20)) == 20
    quotas.configure(policy(requestsPerMinute=50))
    assert sum(admitted(quotas.admit(ask())) for _ in range(20)) == 5


@pytest.mark.parametrize("replicas", [1, 3])
@settings(max_examples=60, deadline=None)
@given(
    per_minute=st.integers(1, 300),
    burst=st.integers(1, 300),
    asks=st.lists(st.tuples(st.integers(0, 20_000_000), st.integers(1, 60), st.integers(0, 80)), max_size=80),
)
def test_no_minute_admits_more_than_the_share(
    replicas: int, per_minute: int, burst: int, asks: list[tuple[int, int, int]]
) -> None:
    """Neither requests nor tokens; what is used beyond what was held is owed, and not counted here."""
    config = policy(
        replicas=replicas,
        requestsPerMinute=per_minute,
        tokensPerMinute=per_minute,
        burstTokens=max(burst, 1),
        maxTokensPerRequest=1,
    )
    quotas, clock = local(config)
    requests: list[int] = []
    tokens: list[tuple[int, int]] = []
    for passed_us, max_tokens, used in asks:
        clock.us += passed_us
        reply, hold = quotas.admit(ask(max_tokens=max_tokens))
        if hold:
            requests.append(clock.us)
            tokens.append((clock.us, min(used, reply.reserved_tokens)))
            quotas.settle(hold, used=min(used, reply.reserved_tokens))
    share = max(1, per_minute // replicas)
    for end in requests:
        assert sum(end - MINUTE_US < at <= end for at in requests) <= share
        assert sum(amount for at, amount in tokens if end - MINUTE_US < at <= end) <= share
