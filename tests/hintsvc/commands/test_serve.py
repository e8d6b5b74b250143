"""``tokenflow-hintsvc serve``, where it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.bench.proc import free_port
from tests.hintsvc.support import runtime


def ended(directory: Path, *options: str) -> tuple[int, str]:
    """Return how a replica ended, and the last line that it left."""
    config = directory / "runtime.json"
    config.write_text(runtime().model_dump_json(by_alias=True))
    common = ["--runtime-file", str(config), "--replica", "one", "--tenants-dir", str(directory)]
    ports = [f"--{name}={free_port()}" for name in ("port", "fast-port", "metrics-port")]
    done = subprocess.run(
        [sys.executable, "-m", "tokenflow_hintsvc", "serve", *common, *ports, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("tokenflow-hintsvc: ")
    assert "Traceback" not in done.stderr
    return done.returncode, last


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the Redis URL cannot be read from {file}: put it into the Secret under the key url"),
        ("http://redis", "the Redis URL begins with an unknown scheme: write redis://"),
    ],
)
def test_without_a_url_of_redis_its_last_words_say_what_to_do(tmp_path: Path, content: str | None, words: str) -> None:
    url = tmp_path / "url"
    if content is not None:
        url.write_text(content)
    status, last = ended(tmp_path, "--redis-url-file", str(url))
    assert status == 1
    assert words.format(file=url) in last


def test_without_a_certificate_it_ends_with_a_status_of_its_own(tmp_path: Path) -> None:
    assert ended(tmp_path, "--tls-dir", str(tmp_path)) == (
        78,
        f"tokenflow-hintsvc: {tmp_path} holds no tls.crt and no tls.key to serve with",
    )
