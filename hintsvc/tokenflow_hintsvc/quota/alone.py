"""A replica's own share of a tenant's quota, for as long as the shared one is out of reach."""

from tokenflow_api.quota import Refusal
from tokenflow_hintsvc.quota.exchange import Answer
from tokenflow_hintsvc.quota.limits import Limits
from tokenflow_hintsvc.quota.meter import Meter
from tokenflow_hintsvc.quota.verdict import STREAM_WAIT_MS, Ask, Verdict


class Alone:
    """Admits by each limit divided by the number of replicas.

    Args:
        limits: of the tenant.
        replicas: that share them, as far as is known.
        known: what the shared quota said last; what was taken by then is taken of each share evenly.
        now_us: the time.
    """

    def __init__(self, limits: Limits, *, replicas: int, known: Answer | None, now_us: int) -> None:
        self._requests_rate = limits.requests.share(replicas)
        self._tokens_rate = limits.tokens.share(replicas)
        self._streams_limit = max(1, limits.streams // replicas)
        self._requests, self._tokens = Meter(), Meter()
        self._streams = known.streams // replicas if known else 0
        if known:
            self._requests.spread(-(-known.requests.taken // replicas), now_us=now_us)
            self._tokens.spread(-(-known.tokens.taken // replicas), now_us=now_us)

    def admit(self, ask: Ask, *, bucket: int, now_us: int) -> Verdict:
        """Return whether the share has room; the verdict of an admitted request still lacks its number."""
        self._requests.advance(now_us, self._requests_rate)
        self._tokens.advance(now_us, self._tokens_rate)
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
        self._requests.charge(bucket, 1)
        self._tokens.charge(bucket, tokens)
        self._streams += ask.stream
        return Verdict(bucket=bucket, tokens=tokens, local=True)

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
