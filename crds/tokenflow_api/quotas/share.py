"""One replica's own share of a tenant's quota, for as long as the shared one is out of reach."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.quota import Refusal
from tokenflow_api.quotas.limits import Limits
from tokenflow_api.quotas.meter import Meter
from tokenflow_api.quotas.verdict import STREAM_WAIT_MS, Ask, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What all replicas had taken of a quota when it was last seen."""

    requests: int = 0
    tokens: int = 0
    streams: int = 0


NOTHING_TAKEN: Final = Taken()


class Share:
    """Admits by each limit divided by the number of replicas.

    Args:
        limits: of the tenant.
        replicas: that share them, as far as is known.
        taken: of the whole by now; so much of each share is taken evenly.
        now_us: the time.
    """

    def __init__(self, limits: Limits, *, replicas: int, now_us: int, taken: Taken = NOTHING_TAKEN) -> None:
        self._requests, self._tokens = Meter(), Meter()
        self.configure(limits, replicas=replicas)
        self._streams = taken.streams // replicas
        self._requests.spread(-(-taken.requests // replicas), now_us=now_us)
        self._tokens.spread(-(-taken.tokens // replicas), now_us=now_us)

    def configure(self, limits: Limits, *, replicas: int) -> None:
        """Go by other limits from now on; what was taken stays taken."""
        self._requests_rate = limits.requests.share(replicas)
        self._tokens_rate = limits.tokens.share(replicas)
        self._streams_limit = max(1, limits.streams // replicas)

    def admit(self, ask: Ask, *, bucket: int, now_us: int) -> Verdict:
        """Return whether the share has room; the verdict of an admitted request still lacks its number."""
        self._advance(now_us)
        # A share may be less than what one request reserves of the whole.
        tokens = min(ask.tokens, self._tokens_rate.burst)
        if self._requests.room(self._requests_rate) < 1:
            wait_us = self._requests.wait_us(self._requests_rate, 1)
            return Verdict(refusal=Refusal.REQUESTS, wait_ms=wait_us // 1000 + 1, local=True)
        if self._tokens.room(self._tokens_rate) < tokens:
            wait_us = self._tokens.wait_us(self._tokens_rate, tokens)
            return Verdict(refusal=Refusal.TOKENS, wait_ms=wait_us // 1000 + 1, local=True)
        if ask.stream and self._streams >= self._streams_limit:
            return Verdict(refusal=Refusal.STREAMS, wait_ms=STREAM_WAIT_MS, local=True)
        self._charge(Ask(tokens, ask.stream), bucket=bucket)
        return Verdict(bucket=bucket, tokens=tokens, local=True)

    def charge(self, ask: Ask, *, bucket: int, now_us: int) -> None:
        """Take what was admitted elsewhere, whether or not there is room."""
        self._advance(now_us)
        self._charge(ask, bucket=bucket)

    def commit(self, *, bucket: int, returned: int, stream: bool) -> None:
        """Take back what a request did not use; a negative amount is what it used beyond its reservation."""
        if returned >= 0:
            self._tokens.refund(bucket, returned)
        else:
            self._tokens.charge(bucket, -returned)
        if stream:
            self._streams = max(0, self._streams - 1)

    def remaining(self) -> tuple[int, int]:
        """Return how many requests and tokens of the share are left."""
        return max(0, self._requests.room(self._requests_rate)), max(0, self._tokens.room(self._tokens_rate))

    def limits(self) -> tuple[int, int]:
        """Return how many requests and tokens the share has in a minute."""
        return self._requests_rate.per_minute, self._tokens_rate.per_minute

    def reset_us(self) -> tuple[int, int]:
        """Return how long until requests and tokens of the share are whole again, if nobody takes any."""
        return (
            self._requests.wait_us(self._requests_rate, self._requests_rate.burst),
            self._tokens.wait_us(self._tokens_rate, self._tokens_rate.burst),
        )

    def _advance(self, now_us: int) -> None:
        self._requests.advance(now_us, self._requests_rate)
        self._tokens.advance(now_us, self._tokens_rate)

    def _charge(self, ask: Ask, *, bucket: int) -> None:
        self._requests.charge(bucket, 1)
        self._tokens.charge(bucket, ask.tokens)
        self._streams += ask.stream
