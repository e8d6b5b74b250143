"""How much is logged, as the policy says."""

import logging

from tokenflow_api.runtime import RuntimeConfig


def follow_level(config: RuntimeConfig) -> None:
    """Log as much as ``config`` says from now on."""
    logging.getLogger().setLevel(config.spec.observability.log_level.upper())
