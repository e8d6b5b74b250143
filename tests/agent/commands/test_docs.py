"""docs/agent.md names whatever an agent may tell: reasons, metrics, flags, fields."""

import argparse
import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tokenflow_agent.commands.grammar import COLUMNS, TABLES, parser
from tokenflow_api.telemetry_agent import Backend, Probe

ROOT = Path(__file__).parents[3]
AGENT = ROOT / "agent/tokenflow_agent"
SEVERAL_WORDS = re.compile(r"[A-Z]+[a-z]+[A-Z][A-Za-z]+|[A-Z]{2,}[a-z][A-Za-z]*")
NO_REASONS = {
    # counters of the kernel's
    *("InSegs", "OutSegs", "RetransSegs", "EstabResets", "ListenDrops", "ListenOverflows", "TcpExt"),
    # NVML's names of errors, which become reasons with NVML before them, or GPULost
    *("DriverNotLoaded", "LibraryNotFound", "LibRmVersionMismatch", "GpuIsLost", "GpuNotFound", "ResetRequired"),
    *("NVMLNotSupported", "NVMLFunctionNotFound", "NVMLNotFound"),
    # values of throttle_reasons
    *("ApplicationsClocksSetting", "BoardLimit", "DisplayClockSetting", "HwPowerBrakeSlowdown", "HwSlowdown"),
    *("HwThermalSlowdown", "SwPowerCap", "SwThermalSlowdown", "SyncBoost"),
    # names of signals, of ways to read them, of states
    *("PodNames", "NetworkNamespaces", "HalfOpen"),
}


@cache
def words() -> str:
    return (ROOT / "docs/agent.md").read_text()


@cache
def named() -> frozenset[str]:
    """Return what the page has between backticks, word by word."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", words(), flags=re.DOTALL))
    return frozenset(word for span in spans for word in re.findall(r"[\w.-]+", span))


@cache
def trees() -> tuple[ast.Module, ...]:
    files = (file for file in AGENT.rglob("*.py") if "commands" not in file.parts)
    return tuple(ast.parse(file.read_text()) for file in files)


def reasons() -> Iterator[str]:
    """Yield patterns of the reasons in the code.

    They are written in many ways, so every constant of several capitalised words counts unless it is known to be
    something else; of constants of one word, those that stand where a reason does.
    """
    for tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SEVERAL_WORDS.fullmatch(node.value):
                yield node.value
            if isinstance(node, ast.Call):
                yield from _told_by(node)


def _told_by(call: ast.Call) -> Iterator[str]:
    function = getattr(call.func, "id", getattr(call.func, "attr", ""))
    places = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    if function.endswith("Error") and len(call.args) > 1:
        places.append(call.args[0])
    for keyword in call.keywords:
        if keyword.arg == "lost" and isinstance(keyword.value, ast.Dict):
            places += [key for key in keyword.value.keys if key is not None]
    for place in places:
        if isinstance(place, ast.Constant) and place.value:
            yield place.value
        elif isinstance(place, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else r"\w+" for part in place.values)


def metrics() -> Iterator[str]:
    """Yield the metrics that the code declares, as they are exported."""
    for tree in trees():
        for node in ast.walk(tree):
            kind = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if kind in {"counter", "gauge", "_rtt", "_time"} and isinstance(node.args[0], ast.Constant):
                yield f"{node.args[0].value}_total" if kind == "counter" else node.args[0].value


def test_the_code_has_reasons_and_metrics_to_look_for() -> None:
    found = set(reasons())
    assert {"BPFNotPermitted", "BTFMissing", "SpoolFull", "MapFull", "RingFull", "Starting", r"No\w+s"} <= found
    assert {"network_rtt_us", "network_retrans_count_total", "gpu_power_watts", "ebpf_events_total"} <= set(metrics())


@pytest.mark.parametrize("reason", sorted(set(reasons()) - NO_REASONS))
def test_every_reason_is_explained(reason: str) -> None:
    assert any(re.fullmatch(reason, word) for word in named()), f"docs/agent.md does not say what to do about {reason}"


@pytest.mark.parametrize("metric", sorted(set(metrics())))
def test_every_metric_is_listed(metric: str) -> None:
    assert metric in named()


def test_every_signal_and_backend_is_named() -> None:
    assert {*Probe, *Backend} <= named()


def flags(of: argparse.ArgumentParser) -> Iterator[str]:
    for action in of._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield name
                yield from flags(command)


@pytest.mark.parametrize("word", sorted({*flags(parser()), *COLUMNS, *TABLES} - {"--help", "--version"}))
def test_every_command_and_flag_is_named(word: str) -> None:
    assert word in named()
