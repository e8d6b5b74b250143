"""Errors as answers: RFC 9457 problem details, each with a code and a remedy."""

from typing import Annotated, Final

from pydantic import Field

from tokenflow_api._base import WireModel
from tokenflow_hintsvc.errors import HintServiceError, StoreError

CONTENT_TYPE: Final = "application/problem+json"


class Problem(WireModel):
    """What went wrong, after RFC 9457.

    ``code`` is a word that programs can go by, and ``remedy`` what to do about it. ``field`` names the part of the
    request that was wrong, ``trace_id`` the request in logs and traces.
    """

    type: str = "about:blank"
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    detail: str
    remedy: str
    field: str = ""
    trace_id: str = ""


class ProblemError(HintServiceError):
    """A request that is answered with a problem document, by whichever listener took it.

    Args:
        status: HTTP status, 400 to 599.
        code: CamelCase word that programs can go by.
        detail: what was wrong.
        remedy: what to write or do instead.
        field: where it was wrong.
        retry_after_s: seconds until another try makes sense; sent as ``Retry-After``.
        allowed: methods that there are instead; sent as ``Allow``.
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
        allowed: str = "",
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.field = field
        self.retry_after_s = retry_after_s
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer besides its type."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.allowed:
            headers["Allow"] = self.allowed
        if self.status == 401:  # noqa: PLR2004 - RFC 9110 wants a challenge with this one
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def body(self, *, trace_id: str = "") -> bytes:
        """Return the problem document."""
        return (
            Problem(
                title=self.code,
                status=self.status,
                code=self.code,
                detail=self.detail,
                remedy=self.remedy,
                field=self.field,
                trace_id=trace_id,
            )
            .model_dump_json()
            .encode()
        )


def no_config() -> ProblemError:
    """Return the problem of a replica that has nothing to go by yet."""
    return ProblemError(
        503,
        code="NoConfig",
        detail="no runtime config has arrived yet",
        remedy="wait; if it lasts, look at /readyz and at the policy's ConfigMap",
        retry_after_s=1,
    )


def not_found() -> ProblemError:
    """Return the problem of a path that there is not."""
    return ProblemError(404, code="NotFound", detail="there is nothing here", remedy="look at /openapi.json")


def method_not_allowed(method: str, *, allowed: str) -> ProblemError:
    """Return the problem of a method that a path does not have."""
    return ProblemError(
        405,
        code="MethodNotAllowed",
        detail=f"{method} is not for this path",
        remedy=f"use {allowed}, or look at /openapi.json",
        allowed=allowed,
    )


def too_large() -> ProblemError:
    """Return the problem of a body that is larger than any request's."""
    return ProblemError(
        413, code="BodyTooLarge", detail="the body is too large", remedy="send less at once", field="body"
    )


def bad_request(reason: str) -> ProblemError:
    """Return the problem of a request that HTTP itself does not allow."""
    return ProblemError(400, code="BadRequest", detail=reason, remedy="look at /openapi.json")


def internal_error() -> ProblemError:
    """Return the problem of a request that met an error in this program."""
    return ProblemError(
        500,
        code="InternalError",
        detail="the hint service failed at this request",
        remedy="look for the trace id in its logs, and report what stands there",
    )


def store_unavailable(error: StoreError, *, remedy: str) -> ProblemError:
    """Return the problem of a request that needs Redis while it is out of reach."""
    return ProblemError(503, code="StoreUnavailable", detail=str(error), remedy=remedy, retry_after_s=1)


def not_authenticated(reason: str) -> ProblemError:
    """Return the problem of a caller who proves nothing."""
    return ProblemError(
        401,
        code="NotAuthenticated",
        detail=reason,
        remedy="send a valid API key of the tenant, a token of the policy's issuer, or a projected token of audience"
        " tokenflow-hintsvc",
        field="Authorization",
    )
