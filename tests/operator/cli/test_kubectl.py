"""What kubectl prints, as errors of ours."""

from pathlib import Path

import pytest

from tests.operator.cli.stand_in import stand_in
from tokenflow_operator.cli.kubectl import Kubectl, failure
from tokenflow_operator.errors import ConfigError, ForbiddenError, KubeError, NotFoundError, UnavailableError


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("Error from server (Forbidden): pods is forbidden", ForbiddenError),
        ("error: You must be logged in to the server (Unauthorized)", ForbiddenError),
        ('Error from server (NotFound): pods "a" not found', NotFoundError),
        (
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            UnavailableError,
        ),
        ("error: something else", KubeError),
        ("", KubeError),
    ],
)
def test_a_failure_keeps_its_words(stderr: str, kind: type[KubeError]) -> None:
    error = failure(stderr)
    assert type(error) is kind
    assert stderr.removeprefix("error: ") in str(error)


def test_without_the_crds_the_remedy_is_named() -> None:
    words = str(failure("""error: the server doesn't have a resource type "pacingpolicies" """))
    assert "helm install tokenflow" in words


def test_the_callers_choice_of_cluster_goes_on() -> None:
    chosen = Kubectl(kubeconfig="/etc/k", context="prod", namespace="llm")
    assert chosen.command("get", "pods") == [
        *("kubectl", "--kubeconfig=/etc/k", "--context=prod", "--namespace=llm", "get", "pods")
    ]
    assert Kubectl().command("get") == ["kubectl", "get"]


def test_without_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no kubectl on the PATH"):
        Kubectl().run("get", "pods")


def test_what_the_api_server_warns_of_reaches_the_caller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stand_in(tmp_path, "echo 'Warning: tenant gold is claimed twice' >&2; echo '{}'"):
        assert Kubectl().json("apply") == {}
    assert capsys.readouterr().err == "Warning: tenant gold is claimed twice\n"


def test_of_several_objects_those_that_failed_are_missing(tmp_path: Path) -> None:
    script = """echo '{"kind": "List", "items": [{"kind": "Role"}]}'; echo 'forbidden: exceeded quota' >&2; exit 1"""
    with stand_in(tmp_path, script):
        assert Kubectl().tried("apply", stdin="") == ([{"kind": "Role"}], "forbidden: exceeded quota")
