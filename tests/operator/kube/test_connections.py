import socket

from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from tokenflow_operator.kube import Kube
from tokenflow_operator.kube.connections import PromptConnections
from tokenflow_operator.kube.kinds import CONFIG_MAP


async def test_what_is_not_acknowledged_in_time_is_never_sent_again() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        configuration = Configuration(host=str(server.make_url("")).rstrip("/"))
        async with ApiClient(configuration) as client:
            client.rest_client = PromptConnections(configuration)
            assert await Kube(client).get(CONFIG_MAP, namespace="n", name="a") == {}
            (held,) = [pair for pairs in client.rest_client.pool_manager.connector._conns.values() for pair in pairs]
            connection = held[0].transport.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
