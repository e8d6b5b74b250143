"""Where agents and gateways deliver what they saw."""

from typing import Final

from aiohttp import web

from tokenflow_api.cluster import NodeReport
from tokenflow_api.codec import CONTENT_TYPE, MAX_ENCODED_BYTES, decode
from tokenflow_api.errors import CodecError
from tokenflow_api.quantities import seconds
from tokenflow_api.runtime import Role, RuntimeConfig
from tokenflow_api.telemetry import AgentConfig, BatchReply, Reporter, TelemetryBatch
from tokenflow_hintsvc import metrics
from tokenflow_hintsvc.api.body import arrived
from tokenflow_hintsvc.api.endpoint import Endpoint
from tokenflow_hintsvc.api.service import SERVICE
from tokenflow_hintsvc.errors import IntakeFullError, StoreError
from tokenflow_hintsvc.ingest.clock import timing
from tokenflow_hintsvc.ingest.speakers import objection
from tokenflow_hintsvc.problems import ProblemError, store_unavailable
from tokenflow_hintsvc.store.batches import StoredBatch
from tokenflow_hintsvc.store.telemetry import Delivery, Ingested

_OUTCOMES: Final = {Ingested.DUPLICATE: "duplicate", Ingested.LATE: "late", Ingested.LATEST: "stored"}


async def post_telemetry(request: web.Request) -> web.Response:
    """Take in a batch of an agent or a gateway."""
    service = request.app[SERVICE]
    if (request.content_length or 0) > MAX_ENCODED_BYTES:
        raise _too_large()
    caller = service.require(request, Role.AGENT, Role.GATEWAY)
    config = service.config()
    try:
        with service.intake.room(request.content_length or MAX_ENCODED_BYTES):
            body = await _body(request)
            batch = _decoded(body)
            if refusal := objection(batch, caller.account, config):
                raise _not_allowed(refusal)
            received = service.clock.now_unix_ms()
            ingested = await service.intake.take(_delivery(batch, body, config, received_unix_ms=received))
    except IntakeFullError as error:
        metrics.BATCHES.labels("full").inc()
        raise ProblemError(
            503,
            code="IntakeFull",
            detail=str(error),
            remedy="keep the batch and send it again later",
            retry_after_s=1,
        ) from error
    except StoreError as error:
        metrics.BATCHES.labels("failed").inc()
        raise store_unavailable(error, remedy="keep the batch and send it again later") from error
    metrics.BATCHES.labels(_OUTCOMES[ingested]).inc()
    reply = BatchReply(
        sequence=batch.sequence,
        duplicate=ingested is Ingested.DUPLICATE,
        received_at_unix_ms=received,
        config=_agent_config(config, batch.agent),
    )
    return web.json_response(text=reply.model_dump_json())


async def _body(request: web.Request) -> bytes:
    try:
        return await arrived(request, most=MAX_ENCODED_BYTES)
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except ProblemError:
        metrics.BATCHES.labels("rejected").inc()
        raise


def _decoded(body: bytes) -> TelemetryBatch:
    try:
        return decode(body, TelemetryBatch)
    except CodecError as error:
        metrics.BATCHES.labels("rejected").inc()
        raise ProblemError(
            400,
            code="BadTelemetry",
            detail=str(error),
            remedy=f"send msgpack compressed by zstd ({CONTENT_TYPE}), of a schema this version knows",
            field="body",
        ) from error


def _delivery(batch: TelemetryBatch, body: bytes, config: RuntimeConfig, *, received_unix_ms: int) -> Delivery:
    stale_after_ms = round(seconds(config.spec.telemetry.stale_after) * 1000)
    times = timing(batch, received_unix_ms=received_unix_ms, stale_after_ms=stale_after_ms)
    if not times.bounded:
        metrics.UNBOUNDED.inc()
    report = NodeReport(
        agent=batch.agent,
        node=batch.node,
        at_unix_ms=received_unix_ms,
        signals=batch.signals,
        window_ms=batch.window_ms,
        cost=batch.cost,
    )
    return Delivery(
        reporter=f"{batch.reporter}:{batch.agent}:{batch.node}",
        boot_id=batch.boot_id,
        sequence=batch.sequence,
        batch=StoredBatch(at_unix_ms=times.at_unix_ms, bounded=times.bounded, data=body),
        current_ms=stale_after_ms if times.current else 0,
        report=report if batch.reporter is Reporter.AGENT else None,
    )


def _agent_config(config: RuntimeConfig, agent: str) -> AgentConfig | None:
    return next((known for known in config.agents if f"{known.namespace}/{known.name}" == agent), None)


def _not_allowed(detail: str) -> ProblemError:
    metrics.BATCHES.labels("rejected").inc()
    return ProblemError(
        403,
        code="NotAllowed",
        detail=detail,
        remedy="deliver with the token of the agent's or gateway's own pod, as the operator mounts it",
    )


def _too_large() -> ProblemError:
    metrics.BATCHES.labels("rejected").inc()
    return ProblemError(
        413,
        code="BatchTooLarge",
        detail=f"a batch may have at most {MAX_ENCODED_BYTES} bytes",
        remedy="send fewer windows at once",
        field="body",
    )


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/telemetry",
        handler=post_telemetry,
        summary="Deliver a batch of windows; a batch that was delivered before is acknowledged again.",
        certified=True,
        body=TelemetryBatch,
        body_media_type=CONTENT_TYPE,
        reply=BatchReply,
        problems=(400, 401, 403, 408, 413, 503),
    ),
)
