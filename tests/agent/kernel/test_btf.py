from pathlib import Path

import pytest

from tokenflow_agent.errors import ProbeError
from tokenflow_agent.kernel import btf


def test_a_missing_member_is_named() -> None:
    if not btf.VMLINUX.exists():
        pytest.skip(f"this kernel has no {btf.VMLINUX}")
    with pytest.raises(ProbeError, match=r"sock\.sk_nonsense") as refused:
        btf.load().offset("sock", "sk_nonsense")
    assert refused.value.reason == "BTFMemberMissing"


def test_a_kernel_without_type_information_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="CONFIG_DEBUG_INFO_BTF") as refused:
        btf.load(tmp_path / "vmlinux")
    assert refused.value.reason == "BTFMissing"


@pytest.mark.parametrize("data", [b"", b"\x9f\xeb", b"ELF" * 20])
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    with pytest.raises(ProbeError, match="not BTF"):
        btf.Btf(data)
