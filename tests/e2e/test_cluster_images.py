from pathlib import Path

import pytest

from e2e.cluster.errors import ClusterError
from e2e.cluster.images import load
from e2e.cluster.settings import Layout


def test_images_need_a_node(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no nodes to load images into: .* --nodes 1"):
        load(Layout(cache=tmp_path), [], ["any"])
