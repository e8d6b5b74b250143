"""The live page: the unwell first, and an API server that is away is no end."""

import io
import json
from pathlib import Path

import pytest

from tests.operator.cli import manifests
from tests.operator.cli.stand_in import stand_in
from tokenflow_operator.cli import top
from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.errors import ForbiddenError


class EnoughError(Exception):
    """The test has seen enough."""


def shown(folder: Path, script: str, *, pages: int) -> str:
    screen, left = io.StringIO(), iter(range(pages - 1))

    def sleep(seconds: float) -> None:
        assert seconds == 2.0
        if next(left, None) is None:
            raise EnoughError

    with stand_in(folder, script), pytest.raises(EnoughError):
        top.live(Kubectl(), screen, everywhere=True, interval_s=2.0, sleep=sleep)
    return screen.getvalue()


def test_the_unwell_come_first(tmp_path: Path) -> None:
    sick = manifests.policy(conditions=[manifests.condition("Ready", "False", "NoLeader", "see Redis")])
    sick["metadata"]["name"] = "sick"
    (tmp_path / "answer").write_text(json.dumps({"items": [manifests.policy(), sick]}))
    with stand_in(tmp_path, f"cat {tmp_path}/answer"):
        page = top.page(Kubectl(), everywhere=True, now=manifests.NOW)
    assert page.index("default/sick ") < page.index("default/demo ")


def test_while_the_api_server_is_away_it_tries_again(tmp_path: Path) -> None:
    script = f"""
        [ -e {tmp_path}/back ] && {{ echo '{{"items": []}}'; exit 0; }}
        touch {tmp_path}/back
        echo 'Unable to connect to the server: EOF' >&2; exit 1
    """
    first, second = shown(tmp_path, script, pages=2).split("\x1b[H\x1b[2J")[1:]
    assert "Unable to connect to the server: EOF: trying again\n" in first
    assert "Nothing here." in second


def test_who_may_not_read_is_told_at_once(tmp_path: Path) -> None:
    with stand_in(tmp_path, "echo 'Error from server (Forbidden): no' >&2; exit 1"), pytest.raises(ForbiddenError):
        top.live(Kubectl(), io.StringIO(), everywhere=True, interval_s=2.0)
