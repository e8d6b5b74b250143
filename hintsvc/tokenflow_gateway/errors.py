"""The exceptions of the gateway, each an answer in OpenAI's form."""

import json
from http import HTTPStatus


class GatewayError(Exception):
    """A request that the gateway answers itself.

    Attributes:
        status: HTTP status.
        kind: OpenAI's error type, such as ``invalid_request_error``.
        code: word that programs can go by.
        param: the field at fault, empty when none is.
        retry_after_s: seconds until another try makes sense; sent as ``Retry-After``.
    """

    status = 500
    kind = "api_error"
    code = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, *, param: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    def body(self, *, trace_id: str = "") -> str:
        """Return the answer's body; ``trace_id`` names the request in logs and traces."""
        error = {"message": self.message, "type": self.kind, "param": self.param or None, "code": self.code}
        return json.dumps({"error": error | ({"trace_id": trace_id} if trace_id else {})})

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer besides its type."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


class InvalidRequestError(GatewayError):
    """The body is not a request."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_request"


class TooLargeError(GatewayError):
    """The body is above the policy's bound."""

    status = 413
    kind = "invalid_request_error"
    code = "request_too_large"


class SlowRequestError(GatewayError):
    """The body did not arrive in time."""

    status = 408
    kind = "invalid_request_error"
    code = "request_timeout"


class UnknownRouteError(GatewayError):
    """Nothing is served there."""

    status = 404
    kind = "invalid_request_error"
    code = "unknown_url"


class UnauthorizedError(GatewayError):
    """The caller is no tenant that we know."""

    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


class ModelNotFoundError(GatewayError):
    """No upstream serves the model."""

    status = 404
    kind = "invalid_request_error"
    code = "model_not_found"


class TooManyStreamsError(GatewayError):
    """The tenant has as many streams open as it may."""

    status = 429
    kind = "rate_limit_exceeded"
    code = "too_many_streams"
    retry_after_s = 1


class UpstreamError(GatewayError):
    """The upstream is out of reach."""

    status = 502
    code = "upstream_unreachable"


class UpstreamBrokeOffError(UpstreamError):
    """The upstream took the request, and broke off or answered what is no answer."""

    code = "upstream_broke_off"


class UpstreamTimeoutError(GatewayError):
    """The upstream took too long."""

    status = 504
    code = "upstream_timeout"


class NoUpstreamError(GatewayError):
    """Every upstream that serves the model failed too often lately, and rests."""

    status = 503
    code = "no_upstream"
    retry_after_s = 1


class NotReadyError(GatewayError):
    """The gateway has no config yet."""

    status = 503
    code = "not_ready"
    retry_after_s = 1
