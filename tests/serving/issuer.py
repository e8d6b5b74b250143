"""An issuer of tokens, for the tests of this folder."""

import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tokenflow_api.runtime import TOKEN_AUDIENCE
from tokenflow_api.serving.keysets import Issued

ISSUER = "https://kubernetes.default.svc"


class Issuer:
    """Keys that can be rotated, and how often they were asked for."""

    def __init__(self, name: str = ISSUER) -> None:
        self.name = name
        self.fetches = 0
        self.rotate("k1")

    def rotate(self, identifier: str) -> None:
        self.identifier = identifier
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    async def fetch(self) -> Issued:
        self.fetches += 1
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return Issued(
            issuer=self.name,
            document={"keys": [{**public, "kid": self.identifier, "alg": "RS256", "use": "sig"}]},
        )

    def token(self, *, account: str = "nodes-agent", **changes: object) -> str:
        """Return a projected token of a service account of namespace ``default``."""
        claims: dict[str, object] = {
            "aud": [TOKEN_AUDIENCE],
            "kubernetes.io": {
                "namespace": "default",
                "serviceaccount": {"name": account},
                "pod": {"name": f"{account}-0"},
                "node": {"name": "node-1"},
            },
        }
        return self.signed(**claims | changes)

    def signed(self, **claims: object) -> str:
        """Return a token that says ``claims``; one of them that is ``None`` is left out."""
        whole: dict[str, object] = {"iss": self.name, "exp": int(time.time()) + 600} | claims
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm="RS256", headers={"kid": self.identifier})


class Clock:
    """A clock that tests turn."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
