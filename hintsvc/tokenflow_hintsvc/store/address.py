"""The URL of a Redis, of Sentinels that guard one, or of a Cluster."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tokenflow_hintsvc.errors import RedisUrlError

_REMEDY: Final = (
    "write redis://[user:password@]host[:port][/database], "
    "redis+sentinel://[user:password@]host[:port],…/master[/database] or "
    "redis+cluster://[user:password@]host[:port],…, and rediss instead of redis for TLS"
)
_MAX_NODES: Final = 64


class Form(StrEnum):
    """How the Redis is found."""

    SINGLE = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_PORTS: Final = {Form.SINGLE: 6379, Form.SENTINEL: 26379, Form.CLUSTER: 6379}


@dataclass(frozen=True, slots=True)
class Node:
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Name and password for a server; both empty where it asks for none."""

    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisAddress:
    """What a Redis URL says.

    Attributes:
        form: how the Redis is found.
        nodes: the Redis itself, the Sentinels, or some nodes of the Cluster.
        master: the name that the Sentinels know the Redis by.
        database: number of it.
        login: at the Redis.
        sentinel_login: at the Sentinels.
        tls: whether connections are encrypted, and the servers proven.
        authorities: file of the authorities that prove them; empty: those of the system.
    """

    form: Form
    nodes: tuple[Node, ...]
    master: str = ""
    database: int = 0
    login: Login = Login()
    sentinel_login: Login = Login()
    tls: bool = False
    authorities: str = ""


def parse(url: str) -> RedisAddress:
    """Return what ``url`` says.

    Raises:
        RedisUrlError: it is not such a URL; the message holds nothing of it, for it may hold a password.
    """
    try:
        beginning, _, rest = url.partition("://")
        scheme, _, form = beginning.partition("+")
        if scheme not in ("redis", "rediss"):
            raise RedisUrlError(f"the Redis URL begins with an unknown scheme: {_REMEDY}")
        return _address(rest, Form(form), tls=scheme == "rediss")
    except ValueError:
        # Its words may repeat a part of the URL.
        raise RedisUrlError(f"the Redis URL cannot be read: {_REMEDY}") from None


def _address(rest: str, form: Form, *, tls: bool) -> RedisAddress:
    place, _, query = rest.partition("?")
    authority, *segments = place.split("/")
    credentials, _, hosts = authority.rpartition("@")
    nodes = tuple(_node(host, default_port=_PORTS[form]) for host in hosts.split(","))
    path = [unquote(segment) for segment in segments if segment]
    options = dict(parse_qsl(query, strict_parsing=bool(query)))
    master = path.pop(0) if form is Form.SENTINEL and path else ""
    database = int(path.pop(0)) if path else 0
    wrong = (
        (form is Form.SINGLE and len(nodes) > 1) or (form is Form.SENTINEL and not master) or len(nodes) > _MAX_NODES
    )
    if wrong or path or database < 0 or (form is Form.CLUSTER and database):
        raise RedisUrlError(f"the Redis URL names the wrong number of hosts, masters or databases: {_REMEDY}")
    username, _, password = credentials.partition(":")
    address = RedisAddress(
        form=form,
        nodes=nodes,
        master=master,
        database=database,
        login=Login(username=unquote(username), password=unquote(password)),
        sentinel_login=_sentinel_login(options),
        tls=tls,
        authorities=options.pop("ssl_ca_certs", ""),
    )
    if options:
        raise RedisUrlError(
            "the Redis URL has unknown options: ssl_ca_certs and sentinel_{username,password} are known"
        )
    return address


def _node(host: str, *, default_port: int) -> Node:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise RedisUrlError(f"the Redis URL names no host: {_REMEDY}")
    return Node(parts.hostname, parts.port or default_port)


def _sentinel_login(options: dict[str, str]) -> Login:
    return Login(username=options.pop("sentinel_username", ""), password=options.pop("sentinel_password", ""))
