"""The HTTP API: OpenAI's, and what administrators ask."""
