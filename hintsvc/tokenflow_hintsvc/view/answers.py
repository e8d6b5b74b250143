"""Hint reads as bytes: encoded once for each path and state of the view, and kept until the next."""

from dataclasses import dataclass
from typing import Final

from tokenflow_api.hints import ALL_PATHS, HintReply
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.view.current import View
from tokenflow_hintsvc.view.packed import PackedSnapshot

CACHE_CONTROL: Final = "private, no-cache"
"""Kept by the caller alone, and asked for anew each time: what a hint is worth changes from one moment to the next.

Asking again costs little, since the entity tag tells whether it has changed.
"""
MAX_PATH: Final = 512


def check_path(path: str) -> str:
    """Return the name of a path that somebody asks for.

    Raises:
        ProblemError: it is too long to be one.
    """
    if len(path) > MAX_PATH:
        raise ProblemError(
            400,
            code="PathTooLong",
            detail=f"a path has at most {MAX_PATH} characters",
            remedy="write <upstream>/<destination class>, or leave path out",
            field="path",
        )
    return path


def is_known(etag: str, *, if_none_match: str) -> bool:
    """Whether a caller who sent that header holds what the entity tag stands for (RFC 9110, section 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in (etag, "*") for tag in tags)


@dataclass(frozen=True, slots=True)
class HintAnswer:
    """An encoded ``HintReply``.

    Attributes:
        body: the document.
        etag: its entity tag, quoted; another replica gives the same document the same one.
    """

    body: bytes
    etag: str

    def is_known(self, if_none_match: str) -> bool:
        """Whether the caller holds it already, by the ``If-None-Match`` that they sent."""
        return is_known(self.etag, if_none_match=if_none_match)


class HintAnswers:
    """The answers to hint reads. There are at most as many as the snapshot has hints and the policy tenants."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._state: object = None
        self._answers: dict[tuple[str, str], HintAnswer] = {}

    def get(self, tenant: str, path: str, config: RuntimeConfig) -> HintAnswer:
        """Return the answer for a path, or for all paths of the tenant where that one is not known."""
        packed, tick = self._view.packed, self._view.tick
        state = (packed.identity if packed else None, tick, config.generation)
        if state != self._state:
            self._state = state
            self._answers.clear()
        known = packed is not None and path in packed.hints.get(tenant, {})
        key = (tenant, path if known else ALL_PATHS)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._encode(*key, config, packed=packed, tick=tick)
        return answer

    def _encode(
        self, tenant: str, path: str, config: RuntimeConfig, *, packed: PackedSnapshot | None, tick: int
    ) -> HintAnswer:
        found = packed.hint(tenant, path) if packed else None
        if packed is None or found is None:
            reply = HintReply(
                hint=self._view.hint(tenant, path, config),
                generation=config.generation,
                version=0,
                at_unix_ms=0,
                ttl_ms=round(seconds(config.spec.pacing.hint_ttl) * 1000),
            )
            return HintAnswer(reply.model_dump_json().encode(), f'"none-{config.generation}"')
        hint, etag = found, f'"{packed.term}-{packed.version}"'
        if tick:
            hint = self._view.hint(tenant, path, config).model_dump_json().encode()
            etag = f'"{packed.term}-{packed.version}-{config.generation}-{tick}"'
        body = b'{"schema":1,"hint":%b,"generation":%d,"version":%d,"at_unix_ms":%d,"ttl_ms":%d}' % (
            hint,
            packed.generation,
            packed.version,
            packed.at_unix_ms,
            packed.ttl_ms,
        )
        return HintAnswer(body, etag)
