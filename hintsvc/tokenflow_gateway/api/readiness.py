"""What probes and people are told of this gateway's state."""

from typing import Any

from tokenflow_client import HintFollower
from tokenflow_gateway.api.gateway import Gateway
from tokenflow_gateway.configuration import Configuration


def readiness(configuration: Configuration, follower: HintFollower, gateway: Gateway | None) -> dict[str, Any]:
    """Return whether the gateway serves, and how its parts are; without hints it serves, by the fallback rate."""
    config = configuration.current
    details: dict[str, Any] = {
        "ready": gateway is not None and not gateway.draining,
        "draining": gateway is not None and gateway.draining,
        "config": {
            "generation": config.generation if config else None,
            "source": configuration.source,
            "error": configuration.error,
        },
        "hints": {"connected": follower.connected, "ageSeconds": follower.age_s},
    }
    if gateway is not None:
        details["streams"] = len(gateway.streams)
        details["requests"] = gateway.door.running
        details["waiting"] = gateway.door.queue.waiting
        details["quotas"] = gateway.door.quotas
        details["upstreams"] = [
            {"name": view.name, "breaker": view.breaker, "inFlight": view.in_flight} for view in gateway.fleet.view()
        ]
    return details
