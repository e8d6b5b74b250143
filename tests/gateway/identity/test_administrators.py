"""Who may look into the gateway."""

import ssl

import httpx
import pytest
from aiohttp import web

from tests.gateway.support import served
from tokenflow_gateway.errors import GatewayError, KeysUnavailableError, NotAdministratorError, UnauthorizedError
from tokenflow_gateway.identity.administrators import Administrators

TLS = ssl.create_default_context()
TOKENS = {"Bearer of-the-operator": 200, "Bearer of-a-gateway": 403}


async def _audit(request: web.Request) -> web.Response:
    return web.Response(status=TOKENS.get(request.headers.get("Authorization", ""), 401))


@pytest.fixture
def hint_service() -> web.Application:
    app = web.Application()
    app.router.add_get("/v1/audit", _audit)
    return app


async def test_whom_the_hint_service_takes_for_one_is_one(hint_service: web.Application) -> None:
    async with served(hint_service) as url:
        await Administrators(url, tls=lambda: TLS).check("Bearer of-the-operator")


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        ("Bearer of-a-gateway", NotAdministratorError),
        ("Bearer made-up", UnauthorizedError),
        ("", UnauthorizedError),
    ],
)
async def test_nobody_else_is(hint_service: web.Application, authorization: str, refusal: type[GatewayError]) -> None:
    async with served(hint_service) as url:
        with pytest.raises(refusal):
            await Administrators(url, tls=lambda: TLS).check(authorization)


async def test_while_the_hint_service_is_away_nobody_may() -> None:
    with pytest.raises(KeysUnavailableError, match=httpx.ConnectError.__name__):
        await Administrators("http://127.0.0.1:1", tls=lambda: TLS).check("Bearer of-the-operator")


async def test_a_hint_service_without_its_store_lets_nobody_in() -> None:
    async def unavailable(_: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application()
    app.router.add_get("/v1/audit", unavailable)
    async with served(app) as url:
        with pytest.raises(KeysUnavailableError, match="503"):
            await Administrators(url, tls=lambda: TLS).check("Bearer of-the-operator")
