"""The client SDK: follows the hints of a policy."""

from tokenflow_client._errors import HintsUnavailableError, TokenFlowError
from tokenflow_client._follower import HintFollower

__all__ = ["HintFollower", "HintsUnavailableError", "TokenFlowError"]
