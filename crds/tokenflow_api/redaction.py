"""Takes secrets out of text that is about to be logged, wherever it came from.

It is the last of several precautions: no program logs a secret on purpose, but the words of a library's
error may hold a URL with its password, or a header.
"""

import re
from typing import Final

MASK: Final = "[redacted]"

_SECRETS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # Credentials of HTTP (RFC 9110, section 11.4), as a header or quoted in a sentence.
    (re.compile(r"(?i)\b(bearer|basic)(\s+)[a-z0-9._~+/=-]{8,}"), rf"\1\2{MASK}"),
    # The userinfo of a URL. A password may hold an @ of its own: the last one counts.
    (re.compile(r"(://)[^\s/?#\"'\\]*@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)([?&](?:api[_-]?key|access_token|token|password|secret|signature)=)[^&\s\"'\\]+"), rf"\1{MASK}"),
    # JSON Web Tokens begin with the base64 of {".
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]+\.[\w-]*"), MASK),
    # API keys as OpenAI and its likes issue them, and ours.
    (re.compile(r"\b(sk-|tfk_)[A-Za-z0-9_-]{16,}"), rf"\1{MASK}"),
)

_SECRET_NAMES: Final = re.compile(r"(?i)(authorization|api_?key|password|secret|cookie|credential)s?$|^token$")


def redacted(text: str) -> str:
    """Return ``text`` without the secrets that can be told by their form."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def names_secret(field: str) -> bool:
    """Whether a field of this name holds a secret, whatever its value looks like."""
    return bool(_SECRET_NAMES.search(field))
