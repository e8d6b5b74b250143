"""The optional admission webhook: says no to what the resources' own schemas cannot see, since it takes others."""

from tokenflow_operator.webhook.webhook import Webhook, WebhookOptions

__all__ = ["Webhook", "WebhookOptions"]
