"""What the doctor says of nodes that lack something."""

import os
from email.message import Message
from pathlib import Path
from threading import Event

import pytest

from tests.agent.commands.support import Reply, serving
from tokenflow_agent.commands.answers import Answer
from tokenflow_agent.commands.doctor import container, deliveries, gpus, kernel, pods, programs
from tokenflow_agent.commands.doctor.check import Check, State, limited
from tokenflow_agent.errors import NvmlError
from tokenflow_api.telemetry import IngestAddress
from tokenflow_api.telemetry_agent import GpuMode

UID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
OTHER_UID = "9a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def put(file: Path, content: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def system(release: str, machine: str = "x86_64") -> os.uname_result:
    return os.uname_result(("Linux", "n1", release, "#1", machine))


@pytest.mark.parametrize(
    ("release", "machine", "state", "words"),
    [
        ("6.18.44-generic", "x86_64", "ok", "Linux 6.18.44-generic on x86_64"),
        ("5.8.0", "aarch64", "ok", "aarch64"),
        ("5.4.0-26", "x86_64", "warn", "set spec.security: Privileged"),
        ("6.1.0", "riscv64", "fail", "x86_64 and aarch64 alone"),
        ("unheard-of", "x86_64", "ok", "unheard-of"),
    ],
)
def test_kernel(release: str, machine: str, state: str, words: str) -> None:
    (check,) = kernel.kernel(system(release, machine))
    assert check.state == state
    assert words in check.message


@pytest.mark.parametrize("content", [None, "no BTF"])
def test_btf_is_missing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        put(tmp_path / "sys/kernel/btf/vmlinux", content)
    (check,) = kernel.types(tmp_path)
    assert check.state == "fail"
    assert str(tmp_path) in check.message or "BTF" in check.message


@pytest.mark.parametrize(
    ("mask", "state", "words"),
    [
        (0, "fail", "none: allow the capabilities BPF and PERFMON"),
        (1 << 38 | 1 << 39, "warn", "BPF, PERFMON: add SYS_PTRACE"),
        (1 << 38 | 1 << 39 | 1 << 19, "ok", "BPF, PERFMON, SYS_PTRACE"),
        (1 << 21, "ok", "SYS_ADMIN"),
    ],
)
def test_capabilities(tmp_path: Path, mask: int, state: str, words: str) -> None:
    put(tmp_path / "proc/self/status", f"Name:\tpython3\nCapEff:\t{mask:016x}\n")
    (check,) = kernel.capabilities(tmp_path)
    assert check.state == state
    assert words in check.message


def test_one_way_to_follow_tcp_is_enough() -> None:
    refusals = {"BTF tracepoint": "", "raw tracepoint": "no", "kprobe": "no", "tracepoint": "no", "uprobe": ""}
    assert [(check.name, check.state) for check in programs.verdict(refusals)] == [
        ("BTF tracepoint", "ok"),
        ("raw tracepoint", "warn"),
        ("kprobe", "warn"),
        ("tracepoint", "warn"),
        ("uprobe", "ok"),
    ]


def test_no_way_to_follow_tcp_fails() -> None:
    refusals = {"BTF tracepoint": "no", "raw tracepoint": "no", "kprobe": "no", "tracepoint": "", "uprobe": "no"}
    states = [check.state for check in programs.verdict(refusals)]
    assert states == ["fail", "fail", "fail", "ok", "warn"]


@pytest.mark.parametrize(
    ("file", "content", "state", "words"),
    [
        ("memory.max", "268435456\n", "ok", "256Mi"),
        ("memory.max", "max\n", "ok", "no limit"),
        ("memory.max", "134217728\n", "fail", "128Mi, too little to compile in: set spec.resources.limits.memory"),
        ("memory/memory.limit_in_bytes", "134217728\n", "fail", "128Mi"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", "ok", "no limit"),
        ("nothing", "", "ok", "no limit"),
    ],
)
def test_memory(tmp_path: Path, file: str, content: str, state: str, words: str) -> None:
    put(tmp_path / "sys/fs/cgroup" / file, content)
    (check,) = container.memory(tmp_path)
    assert check.state == state
    assert words in check.message


def test_spool(tmp_path: Path) -> None:
    (check,) = container.spool(tmp_path, most_bytes=1)
    assert check.state == "ok"
    assert f"{tmp_path} is writable" in check.message
    assert list(tmp_path.iterdir()) == []
    (check,) = container.spool(tmp_path, most_bytes=1 << 60)
    assert check.state == "warn"
    assert "set spec.spool.maxSize below its 1099511627776Mi" in check.message
    (check,) = container.spool(tmp_path / "none", most_bytes=1)
    assert check.state == "warn"
    assert "cannot be written (No such file or directory)" in check.message


def test_cgroups(tmp_path: Path) -> None:
    assert "mount the host's /sys/fs/cgroup there" in pods.cgroups(tmp_path)[0].message
    put(tmp_path / "cgroup.controllers")
    assert pods.cgroups(tmp_path)[0].state == "warn"
    (tmp_path / "kubepods.slice" / f"kubepods-pod{UID.replace('-', '_')}.slice" / "cri-containerd-abc.scope").mkdir(
        parents=True
    )
    (check,) = pods.cgroups(tmp_path)
    assert check == Check("cgroups", State.OK, f"pods in {tmp_path}: 1")


def test_pod_names(tmp_path: Path) -> None:
    assert "mount the host's /var/log/pods there" in pods.names(tmp_path / "none")[0].message
    assert pods.names(tmp_path)[0].state == "warn"
    (tmp_path / f"llm_vllm-0_{UID}").mkdir()
    assert pods.names(tmp_path) == [Check("pod names", State.OK, f"pods in {tmp_path}: 1")]


def test_processes(tmp_path: Path) -> None:
    own = tmp_path / "proc/self/ns/pid"
    own.parent.mkdir(parents=True)
    own.symlink_to("pid:[4026532000]")
    put(tmp_path / "proc/1/cgroup", f"0::/kubepods/pod{UID}/abc\n")
    assert "set hostPID: true" in pods.processes(tmp_path)[0].message
    put(tmp_path / "proc/2/cgroup", f"0::/../../pod{OTHER_UID}/abc\n")
    assert pods.processes(tmp_path) == [Check("processes", State.OK, "pods whose processes are seen: 2")]
    own.unlink()
    own.symlink_to("pid:[4026531836]")
    assert pods.processes(tmp_path) == [Check("processes", State.OK, "all processes of the node are seen")]


def test_gpus_that_nobody_wants() -> None:
    assert gpus.gpus(Path("/"), GpuMode.OFF)[0].state == "ok"
    missing = NvmlError("NVMLLibraryNotFound", "libnvidia-ml.so.1 was not found")
    assert gpus.absent(missing, GpuMode.AUTO).state == "ok"
    required = gpus.absent(missing, GpuMode.REQUIRED)
    assert required.state == "fail"
    assert "install the NVIDIA driver" in required.message


def test_a_gpu_that_is_broken() -> None:
    broken = NvmlError("NVMLLibRmVersionMismatch", "Driver/library version mismatch: restart the agent's pod")
    assert gpus.absent(broken, GpuMode.AUTO).state == "fail"


def test_config(tmp_path: Path) -> None:
    config, check = deliveries.configuration(tmp_path / "none.json")
    assert config is None
    assert "none.json cannot be read" in check.message
    file = put(tmp_path / "agent.json", '{"namespace": "a", "name": "nodes", "generation": 3, "spec": {}}')
    config, check = deliveries.configuration(file)
    assert config is not None
    assert check == Check("config", State.OK, "a/nodes, generation 3")


def test_token(tmp_path: Path) -> None:
    assert "cannot be read (No such file" in deliveries.token(tmp_path / "token")[0].message
    assert "is empty" in deliveries.token(put(tmp_path / "token"))[0].message
    assert deliveries.token(put(tmp_path / "token", "secret"))[0].state == "ok"


@pytest.mark.parametrize(
    ("reply", "state", "words"),
    [
        (Reply(200), "ok", "demo at http://127.0.0.1"),
        (Reply(503), "warn", "answers 503: look at its log"),
    ],
)
def test_a_hint_service_answers(reply: Reply, state: str, words: str) -> None:
    with serving(lambda _, __: reply) as url:
        (check,) = deliveries.hint_service(IngestAddress(policy="demo", url=url))
    assert check.state == state
    assert words in check.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense"])
def test_a_hint_service_does_not_answer(url: str) -> None:
    (check,) = deliveries.hint_service(IngestAddress(policy="demo", url=url))
    assert check.state == "fail"
    assert url in check.message
    assert "network policies" in check.message


@pytest.mark.parametrize(
    ("date", "offset"), [("Thu, 01 Jan 1970 01:00:10 GMT", 10.0), ("yesterday", None), (None, None)]
)
def test_clock_offset(date: str | None, offset: float | None) -> None:
    headers = Message()
    if date:
        headers["Date"] = date
    assert deliveries.clock_offset_s(Answer(200, headers, b""), now_s=3600.0) == offset


def test_a_check_that_finds_no_end() -> None:
    ended = Event()

    def hang() -> list[Check]:
        ended.wait(20)
        return []

    (check,) = limited("NVML", hang, limit_s=0.01)
    ended.set()
    assert check.state == "fail"
    assert "no answer within" in check.message


def test_a_check_that_breaks_hides_no_other() -> None:
    def broken() -> list[Check]:
        raise PermissionError("no")

    (check,) = limited("NVML", broken)
    assert check.state == "fail"
    assert "PermissionError: no" in check.message


def test_a_line_is_one_line() -> None:
    assert str(Check("BTF", State.WARN, "a\nb")) == "warn BTF               a b"
