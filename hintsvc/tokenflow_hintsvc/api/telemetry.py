"""Where agents and gateways deliver what they saw."""

import time
from typing import Final

from aiohttp import web

from tokenflow_api.codec import CONTENT_TYPE, MAX_ENCODED_BYTES, decode
from tokenflow_api.errors import CodecError
from tokenflow_api.hints import NodeReport
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_api.telemetry import AgentConfig, BatchReply, Reporter, TelemetryBatch
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import StoreError
from tokenflow_hintsvc.problems import ProblemError
from tokenflow_hintsvc.store.telemetry import Ingested

_OUTCOMES: Final = {Ingested.DUPLICATE: "duplicate", Ingested.LATE: "late", Ingested.LATEST: "stored"}


async def post_telemetry(request: web.Request) -> web.Response:
    """Take in a batch of an agent or a gateway."""
    service = request.app[SERVICE]
    if (request.content_length or 0) > MAX_ENCODED_BYTES:
        raise _too_large()
    await service.require(request, Role.AGENT, Role.GATEWAY)
    config = service.config()
    try:
        body = await request.read()
        batch = decode(body, TelemetryBatch)
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except CodecError as error:
        metrics.BATCHES.labels("rejected").inc()
        raise ProblemError(
            400,
            code="BadTelemetry",
            detail=str(error),
            remedy=f"send msgpack compressed by zstd ({CONTENT_TYPE}), of a schema this version knows",
            field="body",
        ) from error
    # Only gateways may speak for streams: an agent's token is on every node.
    await service.require(request, Role.GATEWAY if batch.reporter is Reporter.GATEWAY else Role.AGENT)
    ttl_ms = round(seconds(config.spec.telemetry.stale_after) * 1000)
    at_ms = batch.sent_at_unix_ms + batch.clock_offset_ms
    try:
        ingested = await service.telemetry.ingest(
            reporter=f"{batch.reporter}:{batch.agent}:{batch.node}",
            boot_id=batch.boot_id,
            sequence=batch.sequence,
            batch=body,
            at_ms=at_ms,
            stale=batch.clock_error_ms is not None and _now_unix_ms() - at_ms > ttl_ms + batch.clock_error_ms,
            ttl_ms=ttl_ms,
        )
        if ingested is Ingested.LATEST and batch.reporter is Reporter.AGENT:
            await service.telemetry.report_node(
                NodeReport(agent=batch.agent, node=batch.node, at_unix_ms=_now_unix_ms(), signals=batch.signals)
            )
    except StoreError as error:
        metrics.BATCHES.labels("failed").inc()
        raise ProblemError(
            503, code="StoreUnavailable", detail=str(error), remedy="keep the batch and send it again later"
        ) from error
    metrics.BATCHES.labels(_OUTCOMES[ingested]).inc()
    reply = BatchReply(
        sequence=batch.sequence,
        duplicate=ingested is Ingested.DUPLICATE,
        received_at_unix_ms=_now_unix_ms(),
        config=_agent_config(config, batch.agent),
    )
    return web.json_response(text=reply.model_dump_json())


def _agent_config(config: RuntimeConfig, agent: str) -> AgentConfig | None:
    return next((known for known in config.agents if f"{known.namespace}/{known.name}" == agent), None)


def _too_large() -> ProblemError:
    metrics.BATCHES.labels("rejected").inc()
    return ProblemError(
        413,
        code="BatchTooLarge",
        detail=f"a batch may have at most {MAX_ENCODED_BYTES} bytes",
        remedy="send fewer windows at once",
        field="body",
    )


def _now_unix_ms() -> int:
    return time.time_ns() // 1_000_000


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/telemetry",
        handler=post_telemetry,
        summary="Deliver a batch of windows; a batch that was delivered before is acknowledged again.",
        body=TelemetryBatch,
        body_media_type=CONTENT_TYPE,
        reply=BatchReply,
        problems=(400, 401, 403, 413, 503),
    ),
)
