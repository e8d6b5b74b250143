"""The optional admission webhook: says no to what the resources' own schemas cannot see, since it takes others."""

from tokenflow_operator.webhook.keeper import Keeper, WebhookOptions
from tokenflow_operator.webhook.webhook import Webhook

__all__ = ["Keeper", "Webhook", "WebhookOptions"]
