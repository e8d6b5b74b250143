from pathlib import Path

from tokenflow_api.pacing_policy import PacingPolicySpec
from tokenflow_api.runtime import RuntimeConfig
from tokenflow_gateway.configuration import Configuration


def config(generation: int, *, uid: str = "u") -> RuntimeConfig:
    spec = {"tenants": [{"name": "gold"}], "gateway": {"upstreams": [{"name": "a", "url": "http://a"}]}}
    return RuntimeConfig(
        namespace="default", name="demo", uid=uid, generation=generation, spec=PacingPolicySpec.model_validate(spec)
    )


def test_the_newer_generation_wins(tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    configuration = Configuration(file)
    for generation, source, expected in [(2, "hint service", 2), (1, "file", 2), (3, "file", 3)]:
        if source == "file":
            file.write_text(config(generation).model_dump_json())
            configuration.read()
        else:
            configuration.offer(config(generation), source=source)
        assert configuration.current == config(expected)


def test_a_bad_file_changes_nothing_and_says_why_until_it_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    file.write_text(config(1).model_dump_json())
    configuration = Configuration(file)
    configuration.read()
    file.write_text('{"schema": 1}')
    configuration.read()
    assert configuration.current == config(1)
    assert "spec" in configuration.error
    file.write_text(config(1).model_dump_json(indent=1))
    configuration.read()
    assert configuration.error == ""


def test_a_stale_copy_does_not_bring_back_a_policy_that_was_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "runtime.json"
    file.write_text(config(9, uid="old").model_dump_json())
    configuration = Configuration(file)
    configuration.read()
    configuration.offer(config(1, uid="new"), source="hint service")
    configuration.read()
    assert configuration.current == config(1, uid="new")
