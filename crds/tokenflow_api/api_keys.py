"""API keys of tenants: how their Secrets hold them, and whose a key is, the same at the hint service and the gateway.

A value of the Secret is one line: a key as it is, or ``sha256:`` and the hexadecimal digest of it, and behind that
as many as wanted of ``not-before=`` and ``not-after=`` with an RFC 3339 time::

    sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 not-after=2027-01-01T00:00:00Z

Several keys are valid at once, so that a new one can be handed out before the old one ends.
"""

import hashlib
import hmac
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tokenflow_api.errors import KeyFormatError
from tokenflow_api.mounted import files, mark
from tokenflow_api.pacing_policy import Tenant

_log = logging.getLogger(__name__)

MAX_KEYS: Final = 64
"""Keys of one tenant; further ones are refused."""
MAX_LINE: Final = 1024
MAX_KEY: Final = 512
LOOK_S: Final = 1.0
"""The disk is looked at no more often than that."""

_HASHED: Final = "sha256:"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEY: Final = re.compile(r"[!-~]+")
_TIMES: Final = ("not-before", "not-after")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """One key of a tenant.

    Attributes:
        tenant: whose it is.
        name: of the value in the Secret.
        digest: SHA-256 of the key.
        not_before: Unix time in seconds from which on it counts.
        not_after: Unix time in seconds up to which it counts.
    """

    tenant: str
    name: str
    digest: bytes = field(repr=False)
    not_before: float = -math.inf
    not_after: float = math.inf

    def counts_at(self, now: float) -> bool:
        """Whether it is valid at a Unix time in seconds."""
        return self.not_before <= now <= self.not_after


def new_key() -> str:
    """Return a fresh key of 256 random bits."""
    return f"tfk_{secrets.token_urlsafe(32)}"


def digest_of(key: str) -> bytes:
    """Return what stands for a key wherever it is stored or compared."""
    # HTTP servers hand on bytes that are no UTF-8 as lone surrogates.
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def hashed_line(key: str, *, not_after: datetime | None = None) -> str:
    """Return the line that stands for ``key`` in a Secret without telling it."""
    limit = f" not-after={not_after.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}" if not_after else ""
    return f"{_HASHED}{digest_of(key).hex()}{limit}"


def parse_line(line: str, *, tenant: str, name: str) -> ApiKey:
    """Return the key that a line of a Secret tells of.

    Raises:
        KeyFormatError: it is none; the message says why without repeating it.
    """
    words = line.split()
    if not words or len(line) > MAX_LINE:
        raise KeyFormatError(f"a value must be one line of 1 to {MAX_LINE} characters")
    times = dict(_time(word) for word in words[1:])
    return ApiKey(
        tenant=tenant,
        name=name,
        digest=_digest(words[0]),
        not_before=times.get("not-before", -math.inf),
        not_after=times.get("not-after", math.inf),
    )


def _digest(word: str) -> bytes:
    if word.startswith(_HASHED):
        digest = word.removeprefix(_HASHED).lower()
        if not _DIGEST.fullmatch(digest):
            raise KeyFormatError("sha256: must be followed by 64 hexadecimal digits: run 'tokenflow-hintsvc keys hash'")
        return bytes.fromhex(digest)
    if len(word) > MAX_KEY or not _KEY.fullmatch(word):
        raise KeyFormatError(f"a key must be of at most {MAX_KEY} visible ASCII characters")
    return digest_of(word)


def _time(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    if name not in _TIMES or at is None or at.tzinfo is None:
        raise KeyFormatError("behind the key write not-before= or not-after= with a time such as 2027-01-01T00:00:00Z")
    return name, at.timestamp()


class KeyRing:
    """The keys of all tenants, held in memory and read anew when their Secrets change.

    Args:
        directory: holds a directory per tenant, the tenant's Secret mounted in it: each file is a key.
        clock: monotonic, in seconds.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._tenants: Sequence[Tenant] = ()
        self._looked = -math.inf
        self._kept: dict[str, Mapping[str, str]] = {}
        self._marks: dict[str, object] = {}
        self._by_tenant: dict[str, list[ApiKey]] = {}
        self._by_digest: dict[bytes, ApiKey] = {}

    def keep(self, tenant: str, values: Mapping[str, str] | None) -> None:
        """Take a tenant's Secret from elsewhere than its mount, from the next ``refresh`` on.

        Args:
            tenant: whose.
            values: its lines by their names; ``None`` goes back to the mount.
        """
        if values is None:
            self._kept.pop(tenant, None)
        else:
            self._kept[tenant] = values
        self._looked = -math.inf

    def refresh(self, tenants: Sequence[Tenant]) -> bool:
        """Read what changed: of other tenants at once, of the same ones when the last look is a second old.

        Returns:
            Whether the keys are others than before.
        """
        now = self._clock()
        if tenants is self._tenants and now - self._looked < LOOK_S:
            return False
        self._tenants, self._looked = tenants, now
        names = [tenant.name for tenant in tenants if tenant.api_keys_secret_ref is not None]
        changed = self._marks.keys() != set(names)
        marks, by_tenant = {}, {}
        for name in names:
            kept = self._kept.get(name)
            marks[name] = mark(self._directory / name) if kept is None else kept
            if name not in self._marks or marks[name] != self._marks[name]:
                changed = True
                lines = _mounted(self._directory / name) if kept is None else sorted(kept.items())
                by_tenant[name] = list(_keys(lines, tenant=name))
            else:
                by_tenant[name] = self._by_tenant[name]
        if changed:
            self._marks, self._by_tenant = marks, by_tenant
            self._by_digest = _unambiguous(key for name in names for key in by_tenant[name])
        return changed

    def find(self, key: str) -> ApiKey | None:
        """Return the key that a caller sent, if it is a tenant's, whether or not it counts at present."""
        return self.find_digest(digest_of(key))

    def find_digest(self, digest: bytes) -> ApiKey | None:
        """Return the key of that digest, if it is a tenant's.

        The time taken tells nothing of the keys: a dict goes by Python's keyed hash, random in each process.
        """
        found = self._by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._by_digest.values())


def _mounted(directory: Path) -> list[tuple[str, str]]:
    return [(file.name, _line(file)) for file in files(directory)[: MAX_KEYS + 1]]


def _line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(MAX_LINE + 1)
    except OSError as error:
        _log.error("API key cannot be read", extra={"file": str(file), "reason": str(error)})
        return ""


def _keys(lines: Sequence[tuple[str, str]], *, tenant: str) -> Iterator[ApiKey]:
    if len(lines) > MAX_KEYS:
        _log.error("too many API keys, the last are refused", extra={"tenant": tenant, "most": MAX_KEYS})
    for name, line in lines[:MAX_KEYS]:
        try:
            yield parse_line(line.strip(), tenant=tenant, name=name)
        except KeyFormatError as error:
            _log.error("API key refused", extra={"key": f"{tenant}/{name}", "reason": str(error)})


def _unambiguous(keys: Iterable[ApiKey]) -> dict[bytes, ApiKey]:
    known: dict[bytes, ApiKey] = {}
    for key in keys:
        first = known.setdefault(key.digest, key)
        if first.tenant != key.tenant:
            _log.error(
                "API key of two tenants, it stays with the first",
                extra={"tenant": first.tenant, "refused": f"{key.tenant}/{key.name}"},
            )
    return known
