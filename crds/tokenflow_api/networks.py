"""URLs and networks, checked alike by the API server and by whoever reads the models elsewhere."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import StringConstraints

from tokenflow_api._rules import Rule

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#\s]+[^\s]*$", max_length=2048)]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://[^/?#\s]+[^\s]*$", max_length=2048)]
Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]{2,45}/[0-9]{1,3}$", max_length=49)]

_USER: Final = r"([^/?#@\s\[\]]*@)?"
_GROUP: Final = "[0-9A-Fa-f]{1,4}"
_IPV6: Final = "|".join(
    [
        f"({_GROUP}:){{7}}{_GROUP}",
        f"({_GROUP}:){{1,7}}:",
        *(f"({_GROUP}:){{1,{before}}}(:{_GROUP}){{1,{7 - before}}}" for before in range(1, 7)),
        f":((:{_GROUP}){{1,7}}|:)",
    ]
)
_HOST: Final = rf"([^/?#@\s:\[\]]+|\[({_IPV6})\])"
_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_URL: Final = rf"^https?://{_USER}{_HOST}(:{_PORT})?([/?#][^\s]*)?$"


def proper_url(field: str, name: str, *, optional: bool = False) -> Rule:
    """Require that a URL leads somewhere: a host, and a port that can be.

    Args:
        field: of the model.
        name: of the field in YAML.
        optional: whether it may be absent.
    """
    absent = f"!has(self.{name}) || " if optional else ""
    return Rule(
        cel=f"{absent}self.{name}.matches(r'{_URL}')",
        check=lambda self: (url := getattr(self, field)) is None or re.fullmatch(_URL, url) is not None,
        message=f"{name} must name a host that can be, with a port of 1 to 65535 or none: write a value such as"
        " https://llm.example:8443",
        field_path=f".{name}",
    )


def proper_cidrs(field: str, name: str) -> Rule:
    """Require that all items of a list are networks.

    Args:
        field: of the model.
        name: of the field in YAML.
    """
    return Rule(
        cel=f"self.{name}.all(cidr, isCIDR(cidr))",
        check=lambda self: all(_is_cidr(cidr) for cidr in getattr(self, field)),
        message=f"{name} must be networks: write values such as 10.0.0.0/8 or fd00::/8",
        field_path=f".{name}",
    )


def _is_cidr(text: str) -> bool:
    address, _, length = text.partition("/")
    if not _is_address(address) or not (length == "0" or re.fullmatch("[1-9][0-9]{0,2}", length)):
        return False
    return int(length) <= ipaddress.ip_address(address).max_prefixlen


def _is_address(text: str) -> bool:
    """Return whether Kubernetes takes it: IPv4 addresses in IPv6 form are refused."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None)
