"""``tokenflow-hintsvc serve``, where it cannot."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.bench.proc import free_port
from tests.hintsvc.support import runtime


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the Redis URL cannot be read from {file}: put it into the Secret under the key url"),
        ("http://redis", "the Redis URL begins with an unknown scheme: write redis://"),
    ],
)
def test_without_a_url_of_redis_its_last_words_say_what_to_do(tmp_path: Path, content: str | None, words: str) -> None:
    config, url = tmp_path / "runtime.json", tmp_path / "url"
    config.write_text(runtime().model_dump_json(by_alias=True))
    if content is not None:
        url.write_text(content)
    options = ["--redis-url-file", str(url), "--replica", "one", "--tenants-dir", str(tmp_path)]
    ports = [f"--{name}={free_port()}" for name in ("port", "fast-port", "metrics-port")]
    ended = subprocess.run(
        [sys.executable, "-m", "tokenflow_hintsvc", "serve", "--runtime-file", str(config), *options, *ports],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = ended.stderr.splitlines()[-1]
    assert ended.returncode == 1
    assert last.startswith("tokenflow-hintsvc: ")
    assert words.format(file=url) in last
    assert "Traceback" not in ended.stderr
