"""What kind of statement an SQL text is: its first keyword, and nothing else of it."""

import re
from typing import Final

OTHER_VERB: Final = "~other"
_SPACE: Final = re.compile(rb"[\s(;]+")
_VERB: Final = re.compile(
    rb"(?:ALTER|ANALYZE|BEGIN|CALL|CLOSE|COMMIT|COPY|CREATE|DEALLOCATE|DECLARE|DELETE|DESCRIBE|DO|DROP|END|EXECUTE"
    rb"|EXPLAIN|FETCH|GRANT|INSERT|KILL|LISTEN|LOAD|LOCK|MERGE|NOTIFY|PREPARE|REFRESH|REINDEX|RELEASE|REPLACE|RESET"
    rb"|REVOKE|ROLLBACK|SAVEPOINT|SELECT|SET|SHOW|START|TABLE|TRUNCATE|UNLISTEN|UNLOCK|UPDATE|USE|VACUUM|VALUES|WITH)"
    rb"(?![A-Za-z0-9_])",
    re.IGNORECASE,
)


def verb(text: bytes) -> str:
    """Return the first keyword of a statement in capitals, ``~other`` where it is none that is known."""
    found = _VERB.match(text, _behind_comments(text))
    return found[0].decode().upper() if found else OTHER_VERB


def _behind_comments(text: bytes) -> int:
    """Return where the first word begins; each turn passes over a comment or some space."""
    at = 0
    while at < len(text):
        if text.startswith(b"/*", at):
            end = text.find(b"*/", at)
            at = end + 2 if end >= 0 else len(text)
        elif text.startswith((b"--", b"#"), at):
            end = text.find(b"\n", at)
            at = end + 1 if end >= 0 else len(text)
        elif space := _SPACE.match(text, at):
            at = space.end()
        else:
            break
    return at
