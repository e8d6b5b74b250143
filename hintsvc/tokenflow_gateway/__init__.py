"""The gateway: an OpenAI-compatible proxy that paces streams by hints."""
