"""The projected service-account token that a program shows to the hint service."""

import logging
from pathlib import Path

_log = logging.getLogger(__name__)


def read_token(path: Path) -> str:
    """Return the token, read anew each time because the kubelet renews it; empty, and logged, without one."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        _log.warning("no token for the hint service", extra={"path": str(path), "reason": str(error)})
        return ""
