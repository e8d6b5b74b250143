"""The PacingPolicy resource: who may stream how fast over which path."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from tokenflow_api._base import ApiModel
from tokenflow_api._rules import LIST_SET, Rule, list_map
from tokenflow_api.meta import Condition, Name, Resources, SecretReference
from tokenflow_api.modes import Mode, ModelMode
from tokenflow_api.networks import Cidr, HttpsUrl, HttpUrl, proper_cidrs, proper_url
from tokenflow_api.observability import Observability
from tokenflow_api.quantities import Duration, Quantity, amount, seconds

KIND: Final = "PacingPolicy"
PLURAL: Final = "pacingpolicies"

Percent = Annotated[int, Field(ge=1, le=100)]


def _between(field: str, low: str, high: str, example: str) -> Rule:
    """Bound a duration from both sides."""
    camel = "".join(word if not index else word.capitalize() for index, word in enumerate(field.split("_")))
    camel = {"hintTtl": "hintTTL"}.get(camel, camel)
    return Rule(
        cel=f"duration(self.{camel}) >= duration('{low}') && duration(self.{camel}) <= duration('{high}')",
        check=lambda self: seconds(low) <= seconds(getattr(self, field)) <= seconds(high),
        message=f"{camel} must be between {low} and {high}: write a value such as {example}",
        field_path=f".{camel}",
    )


class FailureMode(StrEnum):
    """What happens to quotas while their store is out of reach."""

    LOCAL = "Local"
    ALLOW = "Allow"
    DENY = "Deny"


class AgentReference(ApiModel):
    """A TelemetryAgent of the same namespace."""

    name: Name = Field(description="Name of the TelemetryAgent.")


class Telemetry(ApiModel):
    """Where measurements come from."""

    agents: Annotated[list[AgentReference], Field(max_length=8), list_map("name")] = Field(
        default=[], description="TelemetryAgents of the same namespace that report to this policy's hint service."
    )
    stale_after: Duration = Field(
        default="5s", description="Age beyond which a measurement counts as missing, 1s to 5m."
    )

    rules = (_between("stale_after", "1s", "5m", "5s"),)


class Pacing(ApiModel):
    """The bounds and aims of the control law."""

    min_tokens_per_second: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=5, description="Rate that no stream is slowed below."
    )
    max_tokens_per_second: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=80, description="Rate of a stream on a clear path."
    )
    fallback_tokens_per_second: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=20, description="Rate that streams drift to when nothing is known."
    )
    target_backlog: Duration = Field(
        default="500ms", description="How much unsent data a congested path may hold, as time; 100ms to 10s."
    )
    max_batch_size: Annotated[int, Field(ge=1, le=256)] = Field(default=16, description="Most tokens in one event.")
    max_batch_delay: Duration = Field(
        default="250ms", description="Longest that a token waits for its batch, 10ms to 5s."
    )
    hint_ttl: Duration = Field(
        default="1s", alias="hintTTL", description="Age beyond which a hint is no longer trusted, 250ms to 60s."
    )

    rules = (
        Rule(
            cel="self.minTokensPerSecond <= self.maxTokensPerSecond",
            check=lambda self: self.min_tokens_per_second <= self.max_tokens_per_second,
            message="minTokensPerSecond must not be above maxTokensPerSecond: lower the first or raise the second",
            field_path=".minTokensPerSecond",
        ),
        Rule(
            cel="self.fallbackTokensPerSecond >= self.minTokensPerSecond"
            " && self.fallbackTokensPerSecond <= self.maxTokensPerSecond",
            check=lambda self: (
                self.min_tokens_per_second <= self.fallback_tokens_per_second <= self.max_tokens_per_second
            ),
            message="fallbackTokensPerSecond must lie between minTokensPerSecond and maxTokensPerSecond:"
            " write a value in that range",
            field_path=".fallbackTokensPerSecond",
        ),
        _between("target_backlog", "100ms", "10s", "500ms"),
        _between("max_batch_delay", "10ms", "5s", "250ms"),
        _between("hint_ttl", "250ms", "60s", "1s"),
    )


class Thresholds(ApiModel):
    """Where alerts start, and where the control law begins to act."""

    health_percent: Percent = Field(default=30, description="Health below this raises an alert.")
    rtt_inflation_percent: Annotated[int, Field(ge=101, le=10000)] = Field(
        default=125, description="Round-trip time, as a share of the path's minimum, above which a path is congested."
    )
    retransmit_percent: Percent = Field(default=2, description="Share of segments sent again that counts as loss.")
    backlog_percent: Percent = Field(default=80, description="Accept queue use that counts as full.")
    gpu_utilization_percent: Percent = Field(default=90, description="GPU use that counts as saturated.")
    gpu_memory_percent: Percent = Field(default=95, description="GPU memory use that counts as full.")


class Model(ApiModel):
    """The learned forecaster beside the control law."""

    mode: ModelMode = Field(
        default=ModelMode.OFF,
        description="Shadow computes and reports, Canary serves a share of the tenants, Active serves all.",
    )
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]*$", max_length=64)] = Field(
        default="", description="Version in the registry; empty follows the promoted one."
    )
    canary_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        default=10, description="Share of the tenants served with Canary."
    )

    rules = (
        Rule(
            cel="self.mode != 'Canary' || self.canaryPercent > 0",
            check=lambda self: self.mode != ModelMode.CANARY or self.canary_percent > 0,
            message="canaryPercent must be at least 1 with mode Canary: raise it, or write mode: Shadow",
            field_path=".canaryPercent",
        ),
    )


class Price(ApiModel):
    """What a tenant's tokens cost, in millionths of the currency per million tokens."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$", max_length=3)] = Field(
        description="ISO 4217 code, such as USD."
    )
    input_micros_per_million_tokens: Annotated[int, Field(ge=0, le=10**15)] = Field(
        default=0, description="Price of prompt tokens."
    )
    output_micros_per_million_tokens: Annotated[int, Field(ge=0, le=10**15)] = Field(
        default=0, description="Price of completion tokens."
    )


class Tenant(ApiModel):
    """Someone who streams, with their share."""

    name: Name = Field(description="Name of the tenant.")
    tokens_per_minute: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=100_000, description="Tokens that the tenant may stream per minute, over all streams."
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=10**7)] = Field(
        default=600, description="Requests that the tenant may start per minute."
    )
    burst_tokens: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=20_000, description="Tokens that may be taken at once after a pause."
    )
    max_concurrent_streams: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=200, description="Streams open at once."
    )
    priority: Annotated[int, Field(ge=0, le=1000)] = Field(default=100, description="Higher is served first.")
    weight: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Share of a congested path, relative to the other tenants."
    )
    max_tokens_per_request: Annotated[int, Field(ge=1, le=10**7)] = Field(
        default=8192, description="Most tokens that one request may ask for."
    )
    api_keys_secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret whose every value is an API key of the tenant. Without it, the tenant needs no key"
        " and is named by the x-tenant-id header.",
    )
    price: Price | None = Field(default=None, description="What the tokens cost.")

    rules = (
        Rule(
            cel="self.burstTokens >= self.maxTokensPerRequest",
            check=lambda self: self.burst_tokens >= self.max_tokens_per_request,
            message="burstTokens must not be below maxTokensPerRequest, or the largest requests could never be"
            " admitted: raise burstTokens or lower maxTokensPerRequest",
            field_path=".burstTokens",
        ),
    )


class Jwt(ApiModel):
    """Bearer tokens of an OpenID Connect issuer."""

    issuer: HttpsUrl = Field(description="Expected iss claim.")
    audience: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(description="Expected aud claim.")
    jwks_url: HttpsUrl = Field(alias="jwksURL", description="Where the issuer's keys are.")
    tenant_claim: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        default="tenant", description="Claim that holds the tenant's name."
    )

    rules = (proper_url("issuer", "issuer"), proper_url("jwks_url", "jwksURL"))


class Security(ApiModel):
    """Who may talk to the gateway and the hint service."""

    jwt: Jwt | None = Field(default=None, description="Accept bearer tokens of this issuer besides API keys.")
    allow_cidrs: Annotated[list[Cidr], Field(max_length=256), LIST_SET] = Field(
        default=[], alias="allowCIDRs", description="Networks that clients may come from; empty is any."
    )
    trusted_proxy_cidrs: Annotated[list[Cidr], Field(max_length=64), LIST_SET] = Field(
        default=[],
        alias="trustedProxyCIDRs",
        description="Networks of proxies whose X-Forwarded-For header is believed.",
    )
    tls_secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls that the hint service and the gateway serve with. With the key"
        " client-ca.crt in it, agents and gateways must show the hint service a certificate of that authority.",
    )
    ca_bundle: Annotated[str, StringConstraints(max_length=65536)] = Field(
        default="",
        description="Certificates in PEM by which TokenFlow's own parts know the hint service; empty is those of"
        " their system.",
    )
    requests_per_second_per_ip: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=100, alias="requestsPerSecondPerIP", description="Requests that one address may send per second."
    )
    requests_per_second_per_key: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=100, description="Requests that may be sent per second with one API key or token."
    )

    rules = (proper_cidrs("allow_cidrs", "allowCIDRs"), proper_cidrs("trusted_proxy_cidrs", "trustedProxyCIDRs"))


class EmbeddedRedis(ApiModel):
    """A Redis that the operator runs for this policy."""

    storage: Quantity | None = Field(
        default=None,
        description="Size of a persistent volume, 1Gi or more; without it the state lives in memory only.",
    )
    storage_class_name: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        default=None, description="StorageClass of the volume; absent is the cluster's default."
    )

    rules = (
        Rule(
            cel="!has(self.storageClassName) || has(self.storage)",
            check=lambda self: self.storage_class_name is None or self.storage is not None,
            message="storageClassName is of no use without storage: write storage, such as 1Gi, or remove it",
            field_path=".storageClassName",
        ),
    )


class Redis(ApiModel):
    """Where the replicas share their state."""

    embedded: EmbeddedRedis | None = Field(default=None, description="A Redis that the operator runs.")
    secret_ref: SecretReference | None = Field(
        default=None,
        description=(
            "Secret whose key url names a Redis of your own: redis://user:password@host:6379/0, or"
            " redis+sentinel://user:password@host:26379,host:26379/master/0, or"
            " redis+cluster://user:password@host:6379,host:6379; rediss instead of redis for TLS."
        ),
    )

    rules = (
        Rule(
            cel="has(self.embedded) != has(self.secretRef)",
            check=lambda self: (self.embedded is None) != (self.secret_ref is None),
            message="exactly one of embedded and secretRef must be set: write embedded: {} or name a Secret, and"
            " to move to a Redis of your own write embedded: null beside secretRef",
        ),
    )


class Autoscaling(ApiModel):
    """How far the hint service may grow by itself."""

    max_replicas: Annotated[int, Field(ge=1, le=100)] = Field(description="Most replicas.")
    target_cpu_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=70, alias="targetCPUPercent", description="Use of the requested CPU beyond which replicas are added."
    )
    target_requests_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=2000,
        description="Requests of one replica beyond which others are added, where the cluster serves custom metrics.",
    )


class HintService(ApiModel):
    """The service that decides."""

    replicas: Annotated[int, Field(ge=1, le=100)] = Field(default=3, description="Replicas to run.")
    redis: Redis = Field(default=Redis(embedded=EmbeddedRedis()), description="Where the replicas share their state.")
    autoscaling: Autoscaling | None = Field(default=None, description="Grow under load; absent keeps replicas as is.")
    resources: Resources = Field(default=Resources(), description="CPU and memory of each replica.")

    rules = (
        Rule(
            cel="!has(self.autoscaling) || self.autoscaling.maxReplicas >= self.replicas",
            check=lambda self: self.autoscaling is None or self.autoscaling.max_replicas >= self.replicas,
            message="autoscaling.maxReplicas must not be below replicas: raise it, or lower replicas",
            field_path=".autoscaling.maxReplicas",
        ),
    )


class Upstream(ApiModel):
    """An OpenAI-compatible endpoint that serves models."""

    name: Name = Field(description="Name of the upstream.")
    url: HttpUrl = Field(description="Base URL, without /v1, such as http://vllm.llm.svc:8000.")
    models: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=64), LIST_SET
    ] = Field(default=[], description="Models that it serves, and their LoRA adapters that it lists; empty is all.")
    weight: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Share of requests among equals.")
    max_concurrent_requests: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=256, description="Requests open at once."
    )
    metrics_path: Annotated[str, StringConstraints(pattern=r"^/[^\s?#]*$", max_length=256)] = Field(
        default="/metrics", description="Where the engine exposes its metrics."
    )
    api_key_secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret whose key apiKey the gateway shows to this upstream; readers' own keys never reach it.",
    )

    rules = (proper_url("url", "url"),)


class Timeouts(ApiModel):
    """How long the gateway waits for an upstream."""

    connect: Duration = Field(default="2s", description="For the connection, 10ms to 60s.")
    first_token: Duration = Field(default="60s", description="For the first token, 100ms to 1h.")
    between_tokens: Duration = Field(default="30s", description="Between two tokens, 100ms to 1h.")
    total: Duration = Field(default="10m", description="For the whole request, 1s to 24h.")

    rules = (
        _between("connect", "10ms", "60s", "2s"),
        _between("first_token", "100ms", "1h", "60s"),
        _between("between_tokens", "100ms", "1h", "30s"),
        _between("total", "1s", "24h", "10m"),
        Rule(
            cel="duration(self.connect) <= duration(self.total) && duration(self.firstToken) <= duration(self.total)"
            " && duration(self.betweenTokens) <= duration(self.total)",
            check=lambda self: (
                max(seconds(self.connect), seconds(self.first_token), seconds(self.between_tokens))
                <= seconds(self.total)
            ),
            message="connect, firstToken and betweenTokens must not be above total: lower them or raise total",
            field_path=".total",
        ),
    )


class UnknownPaths(StrEnum):
    """What happens to requests for paths that the gateway does not know."""

    REFUSE = "Refuse"
    PASS = "Pass"  # noqa: S105 - a verb


class LoadBalancing(StrEnum):
    """How an upstream is chosen among those that serve a model."""

    PREFIX_AFFINITY = "PrefixAffinity"
    LEAST_LOAD = "LeastLoad"


class RequestQueue(ApiModel):
    """Where requests wait while the upstreams are full, or the GPUs saturated."""

    max_requests: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=1000, description="Requests that wait in one replica; beyond it the lowest priority is shed."
    )
    max_wait: Duration = Field(default="10s", description="Longest that a request waits, 0s to 10m.")

    rules = (_between("max_wait", "0s", "10m", "10s"),)


class Objectives(ApiModel):
    """What readers were promised: by this, goodput and quality of experience are counted."""

    first_token: Duration = Field(default="1s", description="Time to the first token, 10ms to 10m.")
    tokens_per_second: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="Rate that a reader reads at: the token with number i is due i/rate after the first."
    )

    rules = (_between("first_token", "10ms", "10m", "1s"),)


class Gateway(ApiModel):
    """The OpenAI-compatible gateway that paces streams."""

    replicas: Annotated[int, Field(ge=1, le=100)] = Field(default=2, description="Replicas to run.")
    upstreams: Annotated[list[Upstream], Field(min_length=1, max_length=32), list_map("name")] = Field(
        description="Endpoints that serve the models."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long the gateway waits for an upstream.")
    max_request_size: Quantity = Field(default="4Mi", description="Largest request body, 1Ki to 64Mi.")
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=5000, description="Streams open at once in one replica; beyond it the lowest priority is shed."
    )
    queue: RequestQueue = Field(
        default=RequestQueue(), description="Where requests wait while the upstreams are full, or the GPUs saturated."
    )
    retries: Annotated[int, Field(ge=0, le=5)] = Field(
        default=1, description="Further tries at other upstreams, as long as the reader was sent nothing."
    )
    hedge_after: Duration | None = Field(
        default=None,
        description="Ask a second upstream when the first has sent nothing for so long, 10ms to 10m; absent never.",
    )
    load_balancing: LoadBalancing = Field(
        default=LoadBalancing.PREFIX_AFFINITY,
        description="PrefixAffinity sends prompts that begin alike to one upstream, as far as its load bears;"
        " LeastLoad goes by load alone.",
    )
    unknown_paths: UnknownPaths = Field(
        default=UnknownPaths.REFUSE,
        description="Refuse answers 404 to paths that are not OpenAI's; Pass hands them to an upstream, unpaced.",
    )
    objectives: Objectives = Field(default=Objectives(), description="What readers were promised.")
    resources: Resources = Field(default=Resources(), description="CPU and memory of each replica.")

    rules = (
        Rule(
            cel="!has(self.hedgeAfter) || (duration(self.hedgeAfter) >= duration('10ms')"
            " && duration(self.hedgeAfter) <= duration('10m'))",
            check=lambda self: (
                self.hedge_after is None or seconds("10ms") <= seconds(self.hedge_after) <= seconds("10m")
            ),
            message="hedgeAfter must be between 10ms and 10m: write a value such as 2s",
            field_path=".hedgeAfter",
        ),
        Rule(
            cel="quantity(string(self.maxRequestSize)).compareTo(quantity('1Ki')) >= 0"
            " && quantity(string(self.maxRequestSize)).compareTo(quantity('64Mi')) <= 0",
            check=lambda self: amount("1Ki") <= amount(self.max_request_size) <= amount("64Mi"),
            message="maxRequestSize must be between 1Ki and 64Mi: write a value such as 4Mi",
            field_path=".maxRequestSize",
        ),
    )


class NotifierType(StrEnum):
    """Where alerts can be sent."""

    ALERTMANAGER = "Alertmanager"
    SLACK = "Slack"
    WEBHOOK = "Webhook"


class Notifier(ApiModel):
    """A receiver of alerts."""

    name: Name = Field(description="Name of the notifier.")
    type: NotifierType = Field(description="What kind of receiver it is.")
    secret_ref: SecretReference = Field(description="Secret whose key url names the receiver.")


class Alerts(ApiModel):
    """When and whom to tell."""

    for_: Duration = Field(
        default="30s", alias="for", description="How long a threshold must be crossed first, 1s to 1h."
    )
    notifiers: Annotated[list[Notifier], Field(max_length=16), list_map("name")] = Field(
        default=[], description="Receivers besides Prometheus and Events."
    )

    rules = (
        Rule(
            cel="duration(self.__for__) >= duration('1s') && duration(self.__for__) <= duration('1h')",
            check=lambda self: seconds("1s") <= seconds(self.for_) <= seconds("1h"),
            message="for must be between 1s and 1h: write a value such as 30s",
            field_path=".for",
        ),
    )


class PacingPolicySpec(ApiModel):
    """Who may stream how fast, measured by what, served by what."""

    mode: Mode = Field(
        default=Mode.ENFORCE,
        description='Enforce paces streams; Shadow computes and reports, and changes nothing; "Off" does neither'
        " (in quotes: YAML reads a bare Off as false).",
    )
    failure_mode: FailureMode = Field(
        default=FailureMode.LOCAL,
        description="What happens to quotas while their store is out of reach: each replica keeps a share (Local),"
        " all pass (Allow), none does (Deny).",
    )
    telemetry: Telemetry = Field(default=Telemetry(), description="Where measurements come from.")
    pacing: Pacing = Field(default=Pacing(), description="The bounds and aims of the control law.")
    thresholds: Thresholds = Field(
        default=Thresholds(), description="Where alerts start, and where the control law begins to act."
    )
    model: Model = Field(default=Model(), description="The learned forecaster beside the control law.")
    tenants: Annotated[list[Tenant], Field(min_length=1, max_length=256), list_map("name")] = Field(
        description="Who streams, with their shares."
    )
    security: Security = Field(default=Security(), description="Who may talk to the gateway and the hint service.")
    hint_service: HintService = Field(default=HintService(), description="The service that decides.")
    gateway: Gateway = Field(description="The OpenAI-compatible gateway that paces streams.")
    alerts: Alerts = Field(default=Alerts(), description="When and whom to tell.")
    observability: Observability = Field(default=Observability(), description="What the services tell of themselves.")


class ReplicaStatus(ApiModel):
    """A hint service replica, and the configuration it serves."""

    name: Annotated[str, StringConstraints(max_length=253)] = Field(description="Name of the pod.")
    generation: int = Field(ge=0, description="Generation of the policy that it has acknowledged.")
    leader: bool = Field(default=False, description="Whether it computes the hints.")


class TenantStatus(ApiModel):
    """What a tenant gets at present."""

    name: Name = Field(description="Name of the tenant.")
    tokens_per_second: int = Field(default=0, ge=0, description="Rate that one stream may run at.")
    batch_size: int = Field(default=0, ge=0, description="Tokens in one event.")
    health_percent: int = Field(default=0, ge=0, le=100, description="Health of the worst of its paths.")
    active_streams: int = Field(default=0, ge=0, description="Streams open at present.")
    state: Annotated[str, StringConstraints(max_length=32)] = Field(
        default="", description="Clear, Congested or Degraded."
    )
    requests_last_minute: int = Field(default=0, ge=0, description="Requests that were admitted.")
    tokens_last_minute: int = Field(default=0, ge=0, description="Tokens that were taken of tokensPerMinute.")


class AlertStatus(ApiModel):
    """An alert that is firing."""

    name: Annotated[str, StringConstraints(max_length=128)] = Field(description="Name of the alert.")
    severity: Annotated[str, StringConstraints(max_length=32)] = Field(description="Critical, Warning or Info.")
    since: Annotated[str, StringConstraints(max_length=64)] = Field(description="Since when, RFC 3339 in UTC.")
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="What is wrong, and what to do."
    )
    clear_since: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="Since when its cause is gone; it ends when that has lasted, RFC 3339 in UTC."
    )


class PendingAlert(ApiModel):
    """An alert whose cause has not lasted for as long as alerts.for yet."""

    name: Annotated[str, StringConstraints(max_length=128)] = Field(description="Name of the alert.")
    since: Annotated[str, StringConstraints(max_length=64)] = Field(description="Since when, RFC 3339 in UTC.")


class NotifierStatus(ApiModel):
    """What a notifier was told last."""

    name: Name = Field(description="Name of the notifier.")
    sent_at: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="When it last took a message, RFC 3339 in UTC."
    )
    alerts: Annotated[list[Annotated[str, StringConstraints(max_length=128)]], Field(max_length=64), LIST_SET] = Field(
        default=[], description="Alerts that it was told are firing."
    )


class ModelStatus(ApiModel):
    """The learned model in use."""

    mode: ModelMode = Field(default=ModelMode.OFF, description="How far it acts.")
    version: Annotated[str, StringConstraints(max_length=64)] = Field(default="", description="Version in use.")
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="Why it acts less than asked."
    )


class PacingPolicyStatus(ApiModel):
    """What the policy does at present."""

    observed_generation: int = Field(default=0, ge=0, description="Generation of the spec that this was judged on.")
    conditions: Annotated[list[Condition], Field(max_length=16), list_map("type")] = Field(
        default=[], description="Ready sums up; Progressing and Degraded say more."
    )
    health_percent: int | None = Field(default=None, ge=0, le=100, description="Health of all paths together.")
    tokens_per_second: int | None = Field(
        default=None, ge=0, description="Rate that one stream may run at on the worst path."
    )
    replicas: Annotated[list[ReplicaStatus], Field(max_length=100), list_map("name")] = Field(
        default=[], description="Hint service replicas and the generation that each serves."
    )
    serving_replicas: int = Field(default=0, ge=0, description="Replicas that serve the present generation.")
    tenants: Annotated[list[TenantStatus], Field(max_length=256), list_map("name")] = Field(
        default=[], description="What each tenant gets at present."
    )
    alerts: Annotated[list[AlertStatus], Field(max_length=64), list_map("name")] = Field(
        default=[], description="Alerts that are firing."
    )
    firing_alerts: int = Field(default=0, ge=0, description="How many alerts are firing.")
    pending_alerts: Annotated[list[PendingAlert], Field(max_length=64), list_map("name")] = Field(
        default=[], description="Alerts that will fire if their cause lasts."
    )
    notifiers: Annotated[list[NotifierStatus], Field(max_length=16), list_map("name")] = Field(
        default=[], description="What each notifier was told last."
    )
    model: ModelStatus | None = Field(default=None, description="The learned model in use.")


class PacingPolicy(ApiModel):
    """PacingPolicy paces the token streams of its tenants by what the network and the GPUs can bear."""

    api_version: Literal["tokenflow.io/v1alpha1"] = "tokenflow.io/v1alpha1"
    kind: Literal["PacingPolicy"] = "PacingPolicy"
    spec: PacingPolicySpec = Field(description="Who may stream how fast, measured by what, served by what.")
    status: PacingPolicyStatus = Field(
        default=PacingPolicyStatus(), description="What the policy does at present. Written by the operator."
    )
