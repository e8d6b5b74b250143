"""The boundary to kubectl: arguments in, JSON or one sentence of what went wrong out."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenflow_operator.errors import ConfigError, ForbiddenError, KubeError, NotFoundError, UnavailableError

_TIMEOUT_S: Final = 60.0
_REQUEST_TIMEOUT: Final = "--request-timeout=20s"

# How kubectl words what our own client learns from the status code.
_BY_WORDS: Final[tuple[tuple[str, type[KubeError]], ...]] = (
    ("(Forbidden)", ForbiddenError),
    ("(Unauthorized)", ForbiddenError),
    ("must be logged in", ForbiddenError),
    ("(NotFound)", NotFoundError),
    ("Unable to connect", UnavailableError),
    ("was refused", UnavailableError),
)
_NOT_INSTALLED: Final = re.compile(r"doesn't have a resource type|could not find the requested resource|no matches for")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kubectl:
    """The caller's kubectl.

    Attributes:
        kubeconfig: file with credentials; empty for kubectl's own choice.
        context: of that file; empty for its present one.
        namespace: to work in; empty for that of the context.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""

    def command(self, *arguments: str) -> list[str]:
        """Return a command line for the same cluster and namespace."""
        given = {"--kubeconfig": self.kubeconfig, "--context": self.context, "--namespace": self.namespace}
        options = [f"{option}={value}" for option, value in given.items() if value]
        return ["kubectl", *options, *arguments]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl and return what it printed. What the API server warns of goes on to the caller.

        Raises:
            ConfigError: there is no kubectl.
            KubeError: it failed; the message is its own.
        """
        done = self._done(arguments, stdin=stdin)
        if done.returncode:
            raise failure(done.stderr)
        sys.stderr.write(done.stderr)
        return done.stdout

    def tried(self, *arguments: str, stdin: str) -> tuple[list[dict[str, Any]], str]:
        """Let kubectl do several things, of which some may fail: return the objects that came of it, and its words.

        Raises:
            ConfigError: there is no kubectl.
            UnavailableError: it did not end in time.
        """
        done = self._done((*arguments, "--output=json"), stdin=stdin)
        document = json.loads(done.stdout) if done.stdout else {"items": []}
        return document.get("items", [document]), done.stderr.strip()

    def _done(self, arguments: Sequence[str], *, stdin: str) -> subprocess.CompletedProcess[str]:
        command = self.command(_REQUEST_TIMEOUT, *arguments)
        try:
            return subprocess.run(  # noqa: S603 - kubectl, with arguments and no shell
                command, input=stdin, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
            )
        except FileNotFoundError as error:
            raise ConfigError("there is no kubectl on the PATH: install it") from error
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"kubectl {arguments[0]} did not end within {_TIMEOUT_S:g} s") from error

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run kubectl and return the document that it printed.

        Raises:
            ConfigError: there is no kubectl.
            KubeError: it failed.
        """
        return json.loads(self.run(*arguments, "--output=json", stdin=stdin))

    def items(self, kinds: Sequence[str], *, everywhere: bool = False, labels: str = "") -> list[dict[str, Any]]:
        """Return the objects of some kinds.

        Raises:
            ConfigError: there is no kubectl.
            KubeError: they could not be read.
        """
        scope = ["--all-namespaces"] if everywhere else []
        selector = [f"--selector={labels}"] if labels else []
        listed: list[dict[str, Any]] = self.json("get", ",".join(kinds), *scope, *selector)["items"]
        return listed


def failure(stderr: str) -> KubeError:
    """Return what kubectl complains of as an error of ours."""
    lines = [line.strip().removeprefix("error: ") for line in stderr.splitlines() if line.strip()]
    words = " ".join(lines) or "kubectl failed without a word"
    if _NOT_INSTALLED.search(words):
        return NotFoundError(f"{words}: install TokenFlow first: helm install tokenflow charts/tokenflow")
    kind = next((kind for hint, kind in _BY_WORDS if hint in words), KubeError)
    return kind(words)
