"""One log format for all programs: a JSON object per line on standard error, without secrets."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from tokenflow_api.redaction import MASK, names_secret, redacted

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; what is given as ``extra`` becomes fields of it.

    Args:
        component: name of the program.
        context: returns fields of the work at hand, such as its trace.
    """

    def __init__(self, *, component: str, context: Callable[[], Mapping[str, str]] = dict) -> None:
        super().__init__()
        self._component = component
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of ``record``."""
        fields: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "component": self._component,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= self._context()
        extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        fields |= {key: MASK if names_secret(key) else value for key, value in extra.items()}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return redacted(json.dumps(fields, default=str, ensure_ascii=False))


def configure(*, component: str, level: str = "Info", context: Callable[[], Mapping[str, str]] = dict) -> None:
    """Send the logs of this process to standard error as JSON lines.

    Args:
        component: name of the program, a field of every line.
        level: ``Debug``, ``Info``, ``Warning`` or ``Error``.
        context: returns fields of the work at hand, such as its trace.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(component=component, context=context))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # It tells each request that this program makes.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    sys.excepthook = _log_fault


def _log_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log what ends the program: its last words are a line like all others, without secrets."""
    if issubclass(kind, Exception):
        logging.getLogger(__name__).critical("ended by a fault", exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)
