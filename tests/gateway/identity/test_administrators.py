"""Who may look into the gateway."""

import pytest

from tests.gateway.identity.support import config
from tests.serving.issuer import Issuer
from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.keysets import Issued
from tokenflow_gateway.errors import KeysUnavailableError, NotAdministratorError, UnauthorizedError
from tokenflow_gateway.identity.administrators import Administrators


async def test_the_operators_service_account_may() -> None:
    cluster = Issuer()
    account = await Administrators(cluster).check(f"Bearer {cluster.token(account='operator')}", config())
    assert (account.namespace, account.name) == ("default", "operator")


@pytest.mark.parametrize("account", ["demo-gateway", "stranger"])
async def test_others_may_not(account: str) -> None:
    cluster = Issuer()
    with pytest.raises(NotAdministratorError, match=account):
        await Administrators(cluster).check(f"Bearer {cluster.token(account=account)}", config())


@pytest.mark.parametrize("changes", [{"aud": ["somebody-else"]}, {"exp": 1}, {"iss": "https://elsewhere"}])
async def test_a_token_that_does_not_count_here_proves_nothing(changes: dict[str, object]) -> None:
    cluster = Issuer()
    with pytest.raises(UnauthorizedError, match="audience"):
        await Administrators(cluster).check(f"Bearer {cluster.token(account='operator', **changes)}", config())


@pytest.mark.parametrize("authorization", ["", "Bearer sk-gold", "Basic eA=="])
async def test_nothing_else_will_do(authorization: str) -> None:
    with pytest.raises(UnauthorizedError):
        await Administrators(Issuer()).check(authorization, config())


async def test_while_the_clusters_keys_are_away_nobody_may() -> None:
    class Away:
        async def fetch(self) -> Issued:
            raise KeysError("away")

    with pytest.raises(KeysUnavailableError):
        await Administrators(Away()).check(f"Bearer {Issuer().token(account='operator')}", config())
