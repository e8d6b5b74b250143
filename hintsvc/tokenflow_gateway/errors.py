"""The exceptions of the gateway, each an answer in OpenAI's form."""

import json
from collections.abc import Mapping
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


class MalformedRequestError(GatewayError):
    """What arrived is no HTTP."""

    status = 400
    kind = "invalid_request_error"
    code = "malformed_request"


class HeadersTooLargeError(GatewayError):
    """The head of a request is above the bounds of the gateway."""

    status = 431
    kind = "invalid_request_error"
    code = "headers_too_large"


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


class MethodNotAllowedError(GatewayError):
    """The path is served, by another method."""

    status = 405
    kind = "invalid_request_error"
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        """Return the headers, which name the method that there is."""
        return super().headers() | {"Allow": self.allowed}


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


class UpstreamError(GatewayError):
    """The upstream is out of reach."""

    status = 502
    code = "upstream_unreachable"


class UpstreamBrokeOffError(UpstreamError):
    """The upstream took the request, and broke off or answered what is no answer."""

    code = "upstream_broke_off"


class UpstreamKeyRefusedError(UpstreamError):
    """The upstream wants another API key than the gateway's, or one at all."""

    code = "upstream_key_refused"


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


class TooManyTokensError(GatewayError):
    """The request asks for more tokens than one request of its tenant may."""

    status = 400
    kind = "invalid_request_error"
    code = "max_tokens_exceeded"


class RateLimitError(GatewayError):
    """A limit of the tenant, or what is kept for others, leaves no room; ``code`` says which."""

    status = 429
    kind = "rate_limit_exceeded"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, code: str, retry_after_s: int, limits: Mapping[str, str]) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.code = code
        self._limits = limits

    def headers(self) -> dict[str, str]:
        """Return the headers of any error, and the tenant's limits."""
        return super().headers() | dict(self._limits)


class ShedError(GatewayError):
    """The GPUs are saturated, and others come first."""

    status = 429
    kind = "rate_limit_exceeded"
    code = "shed"
    retry_after_s = 5


class OverloadedError(GatewayError):
    """This gateway bears no more at present."""

    status = 503
    code = "gateway_overloaded"
    retry_after_s = 1


class QueueFullError(GatewayError):
    """As many requests wait as may, and this one has the lowest priority."""

    status = 503
    code = "queue_full"
    retry_after_s = 1


class QueueTimeoutError(GatewayError):
    """There was no room for as long as a request may wait."""

    status = 503
    code = "queue_timeout"
    retry_after_s = 1


class PostponedError(GatewayError):
    """A request that went ahead of its check has to wait for its turn; it is let in anew, and not told so."""

    status = 503
    code = "postponed"
    retry_after_s = 1


class QuotaUnavailableError(GatewayError):
    """The quotas are out of reach, and ``failureMode`` is ``Deny``."""

    status = 503
    code = "quota_unavailable"
    retry_after_s = 1


class UnprocessableRequestError(GatewayError):
    """A field of the body has a value that no upstream could take."""

    status = 422
    kind = "invalid_request_error"
    code = "invalid_value"


class AddressNotAllowedError(GatewayError):
    """Clients may not come from there."""

    status = 403
    kind = "permission_error"
    code = "address_not_allowed"


class NotAdministratorError(GatewayError):
    """Only administrators may look there."""

    status = 403
    kind = "permission_error"
    code = "not_administrator"


class TooManyRequestsError(GatewayError):
    """One address, or one key, asks more often than it may."""

    status = 429
    kind = "rate_limit_exceeded"
    code = "too_many_requests"


class KeysUnavailableError(GatewayError):
    """What a token could be verified with is out of reach."""

    status = 503
    code = "keys_unavailable"
    retry_after_s = 5
