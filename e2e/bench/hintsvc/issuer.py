"""An issuer of service-account tokens, as a cluster's API server is one."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tokenflow_api.runtime import TOKEN_AUDIENCE, Grant, Role

ISSUER: Final = "https://bench.invalid"
NAMESPACE: Final = "bench"
_KEY_ID: Final = "bench"
_LASTS_S: Final = 3600


class Issuer:
    """Signs tokens by RS256, and hands out its public key as a JWKS document."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, role: Role, *, pod: str, node: str) -> str:
        """Return a token of the service account that has ``role``, as projected into a pod on a node."""
        now = int(time.time())
        name = role.value.lower()
        bound = {"serviceaccount": {"name": name}, "namespace": NAMESPACE, "pod": {"name": pod}, "node": {"name": node}}
        claims = {
            "iss": ISSUER,
            "aud": [TOKEN_AUDIENCE],
            "sub": f"system:serviceaccount:{NAMESPACE}:{name}",
            "iat": now,
            "nbf": now,
            "exp": now + _LASTS_S,
            "kubernetes.io": bound,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def write_keys(self, file: Path) -> None:
        """Write the JWKS document."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        file.write_text(json.dumps({"keys": [public | {"kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}))


def grants(roles: Iterable[Role] = Role) -> list[Grant]:
    """Return the grants that the issuer's tokens go by."""
    return [Grant(namespace=NAMESPACE, service_account=role.value.lower(), role=role) for role in roles]
