"""What proven bearer tokens say: whose service account, or which tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenflow_api.serving.errors import TokenError


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Whom a projected token speaks for, and the pod and node that it is bound to, where it says so."""

    namespace: str
    name: str
    pod: str = ""
    node: str = ""


def service_account(claims: Mapping[str, Any]) -> ServiceAccount:
    """Return the service account that a projected token speaks for.

    Raises:
        TokenError: it speaks for none.
    """
    try:
        kubernetes = claims["kubernetes.io"]
        return ServiceAccount(
            namespace=str(kubernetes["namespace"]),
            name=str(kubernetes["serviceaccount"]["name"]),
            pod=str(kubernetes.get("pod", {}).get("name", "")),
            node=str(kubernetes.get("node", {}).get("name", "")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TokenError("the token is of no service account") from error


def tenant(claims: Mapping[str, Any], *, claim: str) -> str:
    """Return the tenant that an issuer's token is for.

    Raises:
        TokenError: it names none.
    """
    name = claims.get(claim)
    if not isinstance(name, str) or not name:
        raise TokenError(f"the token has no claim {claim!r} with a tenant's name: let the issuer add it")
    return name
