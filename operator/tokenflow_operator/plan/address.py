"""Where a policy's hint service answers at present.

A policy that is to serve by TLS from now on, or no more, is asked as before until a replica is ready that does so: with
a Secret that cannot be served with none ever is, and whoever asked at the new address would ask in vain.
"""

from collections.abc import Iterable
from typing import Final

from tokenflow_api.pacing_policy import Security
from tokenflow_operator.keys import Key
from tokenflow_operator.kube.objects import Manifest
from tokenflow_operator.plan import names
from tokenflow_operator.plan.pods import serving

SCHEME_LABEL: Final = "tokenflow.io/scheme"
"""By which a replica of the hint service tells whether it serves by TLS."""


def hint_service_address(policy: Key, security: Security, pods: Iterable[Manifest]) -> str:
    """Return the base URL at which a policy's hint service answers.

    Args:
        policy: whose hint service it is.
        security: as the policy asks for.
        pods: all that are the policy's.
    """
    return names.hint_service_url(policy, hint_service_scheme(security, pods))


def hint_service_scheme(security: Security, pods: Iterable[Manifest]) -> str:
    """Return the scheme of the URL at which a policy's hint service answers."""
    wanted = names.scheme(security)
    told = (pod["metadata"].get("labels", {}).get(SCHEME_LABEL) for pod in pods if serving(pod))
    spoken = {scheme for scheme in told if scheme}
    return wanted if wanted in spoken or not spoken else spoken.pop()
