"""Who may look into the gateway: those whose service account has the role Operator."""

import logging

from tokenflow_api.runtime import TOKEN_AUDIENCE, Role, RuntimeConfig
from tokenflow_api.serving.credentials import secret_of
from tokenflow_api.serving.errors import KeysError, TokenError
from tokenflow_api.serving.keysets import KeySet, KeySource
from tokenflow_api.serving.tokens import ServiceAccount, service_account
from tokenflow_gateway.errors import KeysUnavailableError, NotAdministratorError, UnauthorizedError

_log = logging.getLogger(__name__)


class Administrators:
    """Lets in who shows a projected token for ``TOKEN_AUDIENCE`` of a service account with that role.

    Args:
        cluster: keys of the issuer of service-account tokens.
    """

    def __init__(self, cluster: KeySource) -> None:
        self._keys = KeySet(cluster)

    async def check(self, authorization: str, config: RuntimeConfig) -> ServiceAccount:
        """Return whose token an Authorization header holds.

        Raises:
            UnauthorizedError: it proves nothing.
            NotAdministratorError: that service account has not the role.
            KeysUnavailableError: the cluster's keys are out of reach.
        """
        try:
            secret = secret_of(authorization)
            account = service_account(await self._keys.claims(secret, audience=TOKEN_AUDIENCE))
        except TokenError as error:
            raise UnauthorizedError(
                f"{error}: send a projected service-account token of audience {TOKEN_AUDIENCE}"
            ) from error
        except KeysError as error:
            _log.warning("an administrator's token cannot be verified", extra={"reason": str(error)})
            raise KeysUnavailableError("the cluster's keys are out of reach: try again") from error
        granted = {(grant.namespace, grant.service_account) for grant in config.grants if grant.role is Role.OPERATOR}
        if (account.namespace, account.name) not in granted:
            raise NotAdministratorError(
                f"service account {account.namespace}/{account.name} has not the role {Role.OPERATOR}: ask with that"
                " of the operator"
            )
        return account
