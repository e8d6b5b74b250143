"""Reading the windows of a running agent."""

import pytest

from tests.agent.commands.support import Agent, Reply, batch, serving
from tokenflow_agent.commands.feed import Feed
from tokenflow_agent.errors import AwayError, UsageError


def test_each_window_comes_once() -> None:
    agent = Agent([batch(1), batch(2)])
    with serving(agent.reply) as url:
        feed = Feed(url)
        assert [one.sequence for one in feed.fresh()] == [1, 2]
        agent.batches.append(batch(3))
        assert [one.sequence for one in feed.fresh()] == [3]
        assert feed.fresh() == []
        assert feed.fresh() == []
    assert agent.asked[:2] == [0, 2]


def test_an_agent_that_started_anew_is_followed() -> None:
    agent = Agent([batch(1), batch(2), batch(3)])
    with serving(agent.reply) as url:
        feed = Feed(url)
        feed.fresh()
        agent.batches = [batch(1, boot_id="next")]
        seen = [*feed.fresh(), *feed.fresh()]
    assert [(one.boot_id, one.sequence) for one in seen] == [("next", 1)]


def test_windows_that_were_gone_are_counted() -> None:
    agent = Agent([batch(1)])
    with serving(agent.reply) as url:
        feed = Feed(url)
        feed.fresh()
        agent.batches = [batch(sequence) for sequence in range(2, 31)]
        assert [one.sequence for one in feed.fresh()] == list(range(15, 31))
    assert feed.missed == 13


def test_nobody_there() -> None:
    with serving(lambda _, __: Reply()) as url:
        pass
    with pytest.raises(AwayError, match="does not answer"):
        Feed(url).fresh()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(404), "answered 404"),
        (Reply(body=b'{"batches": [{}]}'), "speaks otherwise"),
        (Reply(), "speaks otherwise"),
    ],
)
def test_somebody_else_there(reply: Reply, words: str) -> None:
    with serving(lambda _, __: reply) as url, pytest.raises(AwayError, match=words):
        Feed(url).fresh()


@pytest.mark.parametrize("url", ["127.0.0.1:9435", "ftp://a", "http://", "http://a:99999", "http://[::1"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        Feed(url).fresh()
