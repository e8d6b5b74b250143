"""Who may look into the gateway: those whose service account has the role Operator.

Their projected tokens are meant for the hint service, so it is asked whether one is good: the gateway needs no
credential at the API server to verify it.
"""

import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httpx

from tokenflow_api.runtime import TOKEN_AUDIENCE, Role
from tokenflow_gateway.errors import KeysUnavailableError, NotAdministratorError, UnauthorizedError

_RESERVED: Final = "/v1/audit?limit=1"
"""A resource of the hint service that is for that role alone."""
_TIMEOUT_S: Final = 3.0


class Administrators:
    """Lets in who shows a projected token for ``TOKEN_AUDIENCE`` of a service account with that role.

    Args:
        hint_url: base URL of the hint service.
        tls: called for how https is verified.
    """

    def __init__(self, hint_url: str, *, tls: Callable[[], ssl.SSLContext]) -> None:
        self._url = f"{hint_url.rstrip('/')}{_RESERVED}"
        self._tls = tls

    async def check(self, authorization: str) -> None:
        """Return if an Authorization header is an administrator's.

        Raises:
            UnauthorizedError: it proves nothing.
            NotAdministratorError: whose it is has not the role.
            KeysUnavailableError: the hint service is out of reach.
        """
        try:
            async with httpx.AsyncClient(verify=self._tls(), timeout=_TIMEOUT_S, trust_env=False) as client:
                answer = await client.get(self._url, headers={"Authorization": authorization} if authorization else {})
        except (httpx.HTTPError, UnicodeEncodeError) as error:
            raise KeysUnavailableError(
                f"the hint service, which knows administrators, is out of reach ({type(error).__name__}): try again"
            ) from error
        match answer.status_code:
            case HTTPStatus.OK:
                return
            case HTTPStatus.UNAUTHORIZED:
                raise UnauthorizedError(f"send a projected service-account token of audience {TOKEN_AUDIENCE}")
            case HTTPStatus.FORBIDDEN:
                raise NotAdministratorError(
                    f"no service account with the role {Role.OPERATOR} has this token: ask with that of the operator"
                )
        raise KeysUnavailableError(
            f"the hint service, which knows administrators, answered {answer.status_code}: try again"
        )
