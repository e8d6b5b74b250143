"""The runtime config that this replica serves, and where it comes from.

The API server's watch is the live source; the mounted copy serves at the start, when the API server may be
out of reach, since the kubelet refreshes it only after up to a minute. A bad document is refused whole.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio import watch as kubernetes_watch
from kubernetes.aio.client.exceptions import ApiException
from pydantic import ValidationError

from tokenflow_api.runtime import RUNTIME_KEY, RuntimeConfig
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.errors import ConfigError, KubernetesError

_log = logging.getLogger(__name__)

_WATCH_S: Final = 300
_RETRY_S: Final = 1.0
_MAX_RETRY_S: Final = 15.0


def parse(document: str) -> RuntimeConfig:
    """Return the runtime config that ``document`` holds.

    Raises:
        ConfigError: it is not JSON, or not such a document; the message names the field.
    """
    try:
        return RuntimeConfig.model_validate(json.loads(document))
    except json.JSONDecodeError as error:
        raise ConfigError(f"the runtime config is not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"the runtime config is refused: {where}: {first['msg']}") from error


class Configuration:
    """The config in force; swapped whole, never for an older generation."""

    def __init__(self) -> None:
        self.current: RuntimeConfig | None = None
        self.source = ""
        self.error = ""
        self.arrived = asyncio.Event()
        self._listeners: list[Callable[[RuntimeConfig], None]] = []

    def on_change(self, listener: Callable[[RuntimeConfig], None]) -> None:
        """Call ``listener`` with each new generation."""
        self._listeners.append(listener)

    def offer(self, document: str, *, source: str) -> None:
        """Take in a document; a bad one is refused with its reason kept in ``error``."""
        try:
            offered = parse(document)
        except ConfigError as error:
            self.error = str(error)
            metrics.CONFIG_REJECTED.inc()
            _log.error(
                "runtime config refused, the last good one stays", extra={"source": source, "reason": str(error)}
            )
            return
        self.error = ""
        # A policy that was deleted and made again starts anew at generation 1, under another uid.
        if self.current and self.current.uid == offered.uid and offered.generation < self.current.generation:
            return
        if offered == self.current:
            return
        self.current = offered
        self.source = source
        self.arrived.set()
        metrics.GENERATION.set(offered.generation)
        _log.info("runtime config in force", extra={"generation": offered.generation, "source": source})
        for listener in self._listeners:
            listener(offered)


class ConfigSource(Protocol):
    """Somewhere that documents come from."""

    def documents(self) -> AsyncIterator[str]:
        """Yield the present document and each one that follows."""


class ConfigMapSource:
    """Watches one ConfigMap by its name, so that RBAC can be on that name alone."""

    def __init__(self, *, namespace: str, name: str) -> None:
        self._namespace = namespace
        self._name = name

    async def documents(self) -> AsyncIterator[str]:
        """Yield the present document and each one that follows.

        Raises:
            KubernetesError: the API server is out of reach or refused, or the watch ended.
        """
        try:
            kubernetes_config.load_incluster_config()  # type: ignore[no-untyped-call]  # the library is untyped here
        except kubernetes_config.ConfigException as error:
            raise KubernetesError(f"no service account to reach the API server with: {error}") from error
        async with (
            kubernetes_client.ApiClient() as api,
            kubernetes_watch.Watch() as watch,  # type: ignore[no-untyped-call]  # the library is untyped here
        ):
            events = watch.stream(
                kubernetes_client.CoreV1Api(api).list_namespaced_config_map,
                self._namespace,
                field_selector=f"metadata.name={self._name}",
                timeout_seconds=_WATCH_S,
                _request_timeout=_WATCH_S + 10,
            )
            try:
                async for event in events:
                    document = _document(event)
                    if document is not None:
                        yield document
            except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
                raise KubernetesError(f"watching ConfigMap {self._namespace}/{self._name}: {error}") from error


def _document(event: Any) -> str | None:
    if event["type"] not in ("ADDED", "MODIFIED"):
        return None
    data: dict[str, str] = event["object"].data or {}
    return data.get(RUNTIME_KEY)


async def follow(configuration: Configuration, source: ConfigSource, *, name: str) -> None:
    """Offer what ``source`` yields, for ever; after a failure with growing pauses."""
    pause = _RETRY_S
    while True:
        try:
            async for document in source.documents():
                pause = _RETRY_S
                configuration.offer(document, source=name)
        except KubernetesError as error:
            _log.warning("runtime config watch broke off", extra={"reason": str(error), "retry_s": pause})
        await asyncio.sleep(pause)
        pause = min(_MAX_RETRY_S, pause * 2)


def offer_file(configuration: Configuration, path: Path) -> None:
    """Offer the mounted copy, if there is one."""
    try:
        document = path.read_text()
    except OSError as error:
        _log.warning("no mounted runtime config", extra={"path": str(path), "reason": str(error)})
        return
    configuration.offer(document, source="file")
