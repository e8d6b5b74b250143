from pathlib import Path

import pytest

from e2e.cluster.errors import PrerequisiteError
from e2e.cluster.network import check_packages


def test_missing_programs_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match=r"apt-get install -y buildah .*nftables.* runc"):
        check_packages()
