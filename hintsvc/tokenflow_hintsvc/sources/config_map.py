"""The policy's ConfigMap, watched through the API server."""

from collections.abc import AsyncIterator

from tokenflow_api.runtime import RUNTIME_KEY
from tokenflow_hintsvc.configuration import Origin
from tokenflow_hintsvc.sources.api_server import ApiServer, ObjectWatch


class ConfigMapSource:
    """Yields the runtime configs of one ConfigMap."""

    origin = Origin.WATCH

    def __init__(self, *, server: ApiServer, namespace: str, name: str) -> None:
        self._watch = ObjectWatch(server=server, plural="configmaps", namespace=namespace, name=name)

    async def documents(self) -> AsyncIterator[bytes]:
        """Yield the present document and each one that follows, for about a minute.

        Raises:
            SourceError: the API server is out of reach or refused.
        """
        async for event in self._watch.events():
            data = (event.object or {}).get("data") or {}
            document = data.get(RUNTIME_KEY) if isinstance(data, dict) else None
            if isinstance(document, str):
                yield document.encode()
