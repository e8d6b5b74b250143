from pathlib import Path

import pytest

from tokenflow_agent.identity.paths import Place, place, place_of_process

UID = "0f9c3a52-1b2c-4d5e-8f90-a1b2c3d4e5f6"
UNDERSCORED = UID.replace("-", "_")
ID = "4f" * 32


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/sys/fs/cgroup/kubepods/burstable/pod{UID}/{ID}", ID),
        (f"/sys/fs/cgroup/unified/tf1/kubepods/pod{UID}", ""),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice", ""),
        (f"/kubepods.slice/kubepods-burstable-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope", ID),
        (f"/kubepods.slice/kubepods-besteffort-pod{UNDERSCORED}.slice/crio-{ID}.scope", ID),
        (f"/kubepods.slice/kubepods-besteffort-pod{UNDERSCORED}.slice/crio-conmon-{ID}.scope", ID),
        (f"/kubepods.slice/kubepods-burstable-pod{UNDERSCORED}.slice/docker-{ID}.scope", ID),
        (f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:{ID}", ID),
        (f"/kubepods/pod{UID}/{ID}/system.slice/nested.service", ID),
        (f"/../../kubepods-pod{UNDERSCORED}.slice/cri-containerd-{ID}.scope", ID),
        (f"/kubepods/pod{UID}/web", "web"),
    ],
)
def test_every_driver_and_runtime_is_understood(path: str, container: str) -> None:
    assert place(path) == Place(UID, container)


def test_static_pods_have_a_uid_without_dashes() -> None:
    assert place(f"/kubepods/pod{'a' * 32}/c") == Place("a" * 32, "c")


@pytest.mark.parametrize("path", ["/sys/fs/cgroup/system.slice/sshd.service", "/podium/x", "/kubepods/besteffort", "/"])
def test_other_cgroups_are_nobodys(path: str) -> None:
    assert place(path) is None


def test_a_container_cannot_pass_for_another_pod() -> None:
    other = "11111111-2222-3333-4444-555555555555"
    assert place(f"/kubepods/pod{UID}/{ID}/kubepods/pod{other}/x") == Place(UID, ID)


def test_a_process_is_its_pods_by_any_of_its_cgroups(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(f"9:memory:/kubepods/burstable/pod{UID}/{ID}\n1:name=systemd:/\n0::/\n")
    assert place_of_process(7, proc=tmp_path) == Place(UID, ID)
    assert place_of_process(8, proc=tmp_path) is None
