"""Whose API key is it: the same answer at the hint service and at the gateway."""

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from tokenflow_api.pacing_policy import Tenant


def tenant_of_key(secret: str, tenants: Iterable[Tenant], *, directory: Path) -> str:
    """Return the name of the tenant whose API key ``secret`` is; empty when it is nobody's.

    Every key is read and compared, hashed and in constant time, so that the time taken tells nothing.

    Args:
        secret: what the caller sent.
        tenants: tenants of the policy.
        directory: holds a directory per tenant, the tenant's Secret mounted in it: each file is a key.
    """
    # HTTP servers hand on bytes that are no UTF-8 as lone surrogates.
    offered = hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
    found = ""
    for tenant in tenants:
        if tenant.api_keys_secret_ref is None:
            continue
        for file in sorted((directory / tenant.name).glob("[!.]*")):
            known = hashlib.sha256(file.read_bytes().strip()).digest()
            if hmac.compare_digest(offered, known):
                found = tenant.name
    return found
