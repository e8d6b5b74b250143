"""Where an upstream is."""

import pytest

from tokenflow_gateway.upstream.origin import parse_origin


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("http://llama:8000", ""),
        ("http://llama:8000/", ""),
        # As OpenAI's clients have it: the targets of requests begin with it.
        ("http://llama:8000/v1", ""),
        ("https://llm.example/openai/v1/", "/openai"),
        ("https://llm.example/v1/openai", "/v1/openai"),
        ("https://llm.example/av1", "/av1"),
    ],
)
def test_the_version_that_requests_bring_along_is_no_prefix(url: str, prefix: str) -> None:
    assert parse_origin(url).prefix == prefix
