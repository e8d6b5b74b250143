"""Connections that deliver what they were given soon, or never.

A kernel goes on sending what a process has written even after the process has ended. Where the network was cut and
comes back, a write of a leader that has long ended would still arrive, once another one leads.
"""

import socket
from typing import Final

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

DELIVERED_WITHIN_S: Final = 3.0
"""A write begins while at least 2 s of proof are left, and proof ends 3 s before another replica can lead."""


class PromptConnections(RESTClientObject):
    """The client's connections, each of which breaks off when what it has sent is not acknowledged."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=_socket)


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(DELIVERED_WITHIN_S * 1000))
    return made
