"""The real clients see through the gateway, which paces and batches, what they see of the engine itself."""

import pytest

from e2e.upstream.script import CALLS, DOCUMENT, SENTENCE
from tests.gateway.clients.conftest import Played, Seen

OPENAI = (
    "models", "answer", "stream", "stream_usage", "several_choices", "tools", "tools_by_helper", "json_mode",
    "logprobs", "completion", "response", "embeddings", "error_400", "error_429", "error_500", "error_unknown_model",
    "timeout", "broken_stream", "cancel", "cancel_async",
)  # fmt: skip
LANGCHAIN = (
    "answer", "stream", "stream_usage", "stream_async", "several_choices", "many_at_once", "tools", "json_mode",
    "logprobs", "completion", "response", "embeddings", "error_400", "error_429", "error_500", "error_unknown_model",
    "timeout", "broken_stream", "cancel", "cancel_async",
)  # fmt: skip
EACH = [(client, scenario) for client in ("python", "node") for scenario in OPENAI]
EACH += [("langchain", scenario) for scenario in LANGCHAIN]


def seen(place: dict[str, Seen], client: str) -> Seen:
    found = place[client]
    if found.missing:
        pytest.skip(found.missing)
    return found


@pytest.mark.parametrize(("client", "scenario"), EACH)
def test_a_client_sees_the_same_through_the_gateway(played: Played, client: str, scenario: str) -> None:
    direct = seen(played.direct, client).results[scenario]
    assert "raised" not in str(direct)
    assert seen(played.paced, client).results[scenario] == direct


@pytest.mark.parametrize(("client", "scenarios"), [("python", OPENAI), ("node", OPENAI), ("langchain", LANGCHAIN)])
def test_every_scenario_is_judged(played: Played, client: str, scenarios: tuple[str, ...]) -> None:
    assert tuple(seen(played.paced, client).results) == scenarios


@pytest.mark.parametrize("client", ["python", "node"])
def test_batches_keep_every_character_and_call(played: Played, client: str) -> None:
    results = seen(played.paced, client).results
    assert results["stream"]["contents"] == [f"{SENTENCE} (0)"]
    assert results["several_choices"]["stream"]["contents"] == [f"{SENTENCE} ({index})" for index in range(3)]
    assert results["json_mode"]["stream"]["contents"] == [DOCUMENT]
    assert results["tools_by_helper"] == [list(call) for call in CALLS]
    assert results["stream_usage"]["usage"] == {"prompt_tokens": 7, "completion_tokens": 15, "total_tokens": 22}
    assert results["stream"]["usage"] is None


def test_who_leaves_ends_the_engines_work_too(played: Played) -> None:
    clients = sum(not found.missing for found in played.paced.values())
    # Each leaves once when its patience ends, and twice in the middle of an answer.
    assert played.left_paced == {"slow": clients, "endless": 2 * clients}
    assert played.left_direct == played.left_paced
