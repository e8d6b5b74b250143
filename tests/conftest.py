"""What tests of several parts share: a Kubernetes cluster."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from e2e.bench.proc import free_port
from e2e.cluster import binaries, lifecycle, network
from e2e.cluster.errors import PrerequisiteError
from e2e.cluster.settings import Layout, cache
from e2e.commands import run

_UP_TIMEOUT_S = 300.0
_ON_THE_CLUSTER = (
    "tests/charts/*",
    "tests/crds/*",
    "tests/e2e/test_cluster_*",
    "tests/e2e/test_system.py",
    "tests/operator/chaos/*",
    "*_cluster.py",
)

# How long an example takes depends on what else the machine does; with CI set, the examples are the same each time.
settings.register_profile("tokenflow", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tokenflow")

# Threads that spin while they wait for one another take a busy machine for minutes, where one takes seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that answers; ``KUBECONFIG`` and ``PATH`` reach it too while tests run."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed; a refusal raises CommandError with its words."""
        return run(["kubectl", "--kubeconfig", str(self.kubeconfig), "--request-timeout=20s", *arguments], stdin=stdin)


def pytest_configure() -> None:
    """Take interrupts: a shell that runs the tests in the background has them ignored, and programs inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Take back what a program under test did to the root logger: others read their own records."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that nobody else is given before the test uses it, as could be with pytest-asyncio's own."""
    return free_port()


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    """Likewise, for several."""
    return free_port


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of ``TOKENFLOW_TEST_KUBECONFIG``, else one on this machine.

    One that is up before the tests stays up, and so does ours with ``TOKENFLOW_KEEP_CLUSTER=1``.
    """
    with pytest.MonkeyPatch.context() as environment:
        if given := os.environ.get("TOKENFLOW_TEST_KUBECONFIG"):
            environment.setenv("KUBECONFIG", given)
            yield Cluster(kubeconfig=Path(given))
            return
        layout = Layout(cache=cache())
        present = lifecycle.count(layout)
        keep = present is not None or os.environ.get("TOKENFLOW_KEEP_CLUSTER") == "1"
        if os.geteuid() != 0:
            pytest.skip("no cluster: it needs root to make network namespaces and cgroups")
        try:
            network.check_packages()
            binaries.build_all(layout.cache, report=print)
        except PrerequisiteError as error:
            # Where everything has to run, a skip would hide that it did not.
            (pytest.fail if "CI" in os.environ else pytest.skip)(f"no cluster: {error}")
        # In a process of its own, whose children outlive it, as they do for its users.
        tool = (sys.executable, "-m", "e2e.cluster")
        run([*tool, "up"], timeout_s=_UP_TIMEOUT_S)
        environment.setenv("KUBECONFIG", str(layout.kubeconfig))
        environment.setenv("PATH", f"{layout.binaries}{os.pathsep}{os.environ['PATH']}")
        yield Cluster(kubeconfig=layout.kubeconfig)
        if not keep:
            run([*tool, "down"], timeout_s=_UP_TIMEOUT_S)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the limit of a cluster test begin after its fixtures: the first build of Kubernetes takes long."""
    for item in items:
        if item.get_closest_marker("cluster") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600, func_only=True))


def pytest_collection_finish() -> None:
    """Let the garbage collector look no more at what thousands of tests are made of: it would halt one of them."""
    gc.collect()
    gc.freeze()


class _ByPart(LoadScopeScheduling):
    """Keeps in one worker what shares the one cluster, and each folder: the agent's tests share the kernel."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "cluster" if any(fnmatch(path, pattern) for pattern in _ON_THE_CLUSTER) else path.split("/")[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Share the tests out over the workers."""
    return _ByPart(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where everything can run and something did not: a skip would hide it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "CI" in os.environ and reporter and reporter.stats.get("skipped"):
        reporter.write_line("tests were skipped, and with CI set none may be", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
