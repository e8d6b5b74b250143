from pathlib import Path

import pytest

from tokenflow_agent.errors import ConfigError
from tokenflow_agent.settings import Configuration
from tokenflow_api.telemetry import AgentConfig, IngestAddress
from tokenflow_api.telemetry_agent import TelemetryAgentSpec


def config(generation: int, *, interval: str = "1s", name: str = "nodes") -> AgentConfig:
    return AgentConfig(
        namespace="default", name=name, generation=generation, spec=TelemetryAgentSpec(interval=interval)
    )


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    (tmp_path / "agent.json").write_text(config(2).model_dump_json())
    return Configuration(tmp_path / "agent.json")


def test_a_newer_generation_is_taken_live(configuration: Configuration) -> None:
    configuration.offer(config(3, interval="2s"), source="hint service")
    assert configuration.current.spec.interval == "2s"


@pytest.mark.parametrize("offered", [config(1, interval="5s"), config(9, interval="5s", name="others")])
def test_older_or_foreign_ones_are_not(configuration: Configuration, offered: AgentConfig) -> None:
    configuration.offer(offered, source="hint service")
    assert configuration.current.spec.interval == "1s"


def test_a_changed_file_is_taken_and_a_broken_one_refused(configuration: Configuration, tmp_path: Path) -> None:
    (tmp_path / "agent.json").write_text(config(4, interval="3s").model_dump_json())
    configuration.reread()
    (tmp_path / "agent.json").write_text("{")
    configuration.reread()
    assert configuration.current.spec.interval == "3s"


def test_without_a_file_it_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.json cannot be read"):
        Configuration(tmp_path / "missing.json")


def test_a_broken_file_is_told_once(
    configuration: Configuration, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for words in ("{", "{", "{"):
        (tmp_path / "agent.json").write_text(words)
        configuration.reread()
    (tmp_path / "agent.json").unlink()
    for _ in range(3):
        configuration.reread()
    reasons = [str(vars(record)["reason"]) for record in caplog.records]
    assert len(reasons) == 2
    assert reasons[1].endswith("agent.json cannot be read: No such file or directory")


def at(url: str, generation: int) -> AgentConfig:
    return config(generation).model_copy(update={"ingest": [IngestAddress(policy="p", url=url)]})


@pytest.mark.parametrize("generation", [2, 3])
def test_addresses_are_those_of_the_file_alone(configuration: Configuration, tmp_path: Path, generation: int) -> None:
    (tmp_path / "agent.json").write_text(at("http://h", 2).model_dump_json())
    configuration.reread()
    configuration.offer(at("https://h", generation), source="hint service")
    assert configuration.current == at("http://h", generation)
    (tmp_path / "agent.json").write_text(at("https://h", generation).model_dump_json())
    configuration.reread()
    assert configuration.current == at("https://h", generation)
