"""Proxies of others that pass streams through, on one core each: nginx, HAProxy and LiteLLM."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from e2e.bench.hintsvc.peers import child
from e2e.bench.pacing.arms import Subject
from e2e.bench.proc import free_port
from e2e.bench.programs import Program, await_port, killing, running
from e2e.commands import run

_LITELLM: Final = Path.home() / ".cache/tokenflow/peers/litellm"
_LOCK: Final = Path(__file__).with_name("litellm.lock")
_INSTALL_S: Final = 900.0
_LITELLM_ENV: Final = {
    "LITELLM_LOG": "ERROR",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Only this machine's readers come, without a key, as they do to the other proxies.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
_NGINX: Final = """
worker_processes 1;
daemon off;
pid {place}/nginx.pid;
error_log {place}/nginx.log;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    upstream engine {{ server {upstream}; keepalive 1024; }}
    server {{
        listen {port} backlog=4096;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
_HAPROXY: Final = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    option http-no-delay
frontend all
    bind *:{port}
    default_backend engine
backend engine
    http-reuse always
    server one {upstream}
"""


@contextmanager
def nginx(place: Path, *, upstream: str) -> Iterator[Subject]:
    """Run an nginx that buffers nothing until the block is left.

    Raises:
        BenchError: it does not listen.
    """
    port, file = free_port(), place / "nginx.conf"
    file.write_text(_NGINX.format(place=place, port=port, upstream=urlsplit(upstream).netloc))
    program = Program(command=["nginx", "-c", str(file), "-e", str(place / "nginx.log")], log=place / "nginx.out")
    with _run("nginx", program, port, forks=True) as subject:
        yield subject


@contextmanager
def haproxy(place: Path, *, upstream: str) -> Iterator[Subject]:
    """Run a HAProxy of one thread until the block is left.

    Raises:
        BenchError: it does not listen.
    """
    port, file = free_port(), place / "haproxy.cfg"
    file.write_text(_HAPROXY.format(port=port, upstream=urlsplit(upstream).netloc))
    program = Program(command=["haproxy", "-db", "-f", str(file)], log=place / "haproxy.log")
    with _run("HAProxy", program, port) as subject:
        yield subject


@contextmanager
def litellm(place: Path, *, upstream: str) -> Iterator[Subject]:
    """Run a LiteLLM proxy of one worker, without a database, until the block is left; it is installed if need be.

    Raises:
        BenchError: it does not listen.
        CommandError: it cannot be installed.
    """
    install_litellm()
    port, file = free_port(), place / "litellm.yaml"
    # By a name of Llama it would look for that one's tokenizer on the Internet, at each request.
    served = {"model": "openai/engine", "api_base": f"{upstream}/v1", "api_key": "none"}
    file.write_text(json.dumps({"model_list": [{"model_name": "llama-3", "litellm_params": served}]}))
    program = Program(
        command=[str(_LITELLM / "bin/litellm"), "--config", str(file), "--port", str(port), "--num_workers", "1"],
        log=place / "litellm.log",
        env=_LITELLM_ENV,
    )
    with _run("LiteLLM", program, port, listens_s=90.0) as subject:
        yield subject


def install_litellm() -> None:
    """Install LiteLLM into an environment of its own, by hashes, unless it is there.

    Raises:
        CommandError: it cannot be installed.
    """
    if (_LITELLM / "bin/litellm").exists():
        return
    run([sys.executable, "-m", "venv", str(_LITELLM)])
    run(
        [str(_LITELLM / "bin/pip"), "install", "--quiet", "--require-hashes", "--requirement", str(_LOCK)],
        timeout_s=_INSTALL_S,
    )


def versions(*, every: bool) -> dict[str, str]:
    """Return the versions of nginx, or of every peer.

    Raises:
        CommandError: one is not installed.
    """
    found = {"nginx": run(["sh", "-c", "nginx -v 2>&1"]).partition("/")[2].strip()}
    if every:
        (locked,) = (line for line in _LOCK.read_text().splitlines() if line.startswith("litellm=="))
        found["HAProxy"] = run(["haproxy", "-v"]).split()[2].partition("-")[0]
        found["LiteLLM"] = locked.partition("==")[2].split()[0]
    return found


@contextmanager
def _run(name: str, program: Program, port: int, *, forks: bool = False, listens_s: float = 15.0) -> Iterator[Subject]:
    # nginx ends its worker only when it is asked politely.
    with running(program) if forks else killing(program):
        program.start()
        await_port(port, program, listens_s=listens_s)
        pid = child(program.pid) if forks else program.pid
        yield Subject(name=name, port=port, pid=pid, program=program)
