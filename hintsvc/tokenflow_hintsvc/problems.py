"""Errors as answers: RFC 9457 problem details, each with a code and a remedy."""

import json
from typing import Final

from tokenflow_hintsvc.errors import HintServiceError

CONTENT_TYPE: Final = "application/problem+json"


class ProblemError(HintServiceError):
    """A request that is answered with a problem document, by whichever listener took it.

    Args:
        status: HTTP status, 400 to 599.
        code: CamelCase word that programs can go by.
        detail: what was wrong.
        remedy: what to write or do instead.
        field: where it was wrong.
        retry_after_s: seconds until another try makes sense; sent as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        *,
        code: str,
        detail: str,
        remedy: str,
        field: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.field = field
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer besides its type."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:  # noqa: PLR2004 - RFC 9110 wants a challenge with this one
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def body(self, *, trace_id: str = "") -> bytes:
        """Return the problem document."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.code,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "remedy": self.remedy,
        }
        optional = {"field": self.field, "trace_id": trace_id}
        return json.dumps(document | {name: value for name, value in optional.items() if value}).encode()
