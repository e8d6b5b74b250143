"""Keys of an issuer that are handed out by file."""

from pathlib import Path

import pytest

from tokenflow_api.serving.errors import KeysError
from tokenflow_api.serving.issuers import KeyFile


async def test_the_file_is_read_each_time_so_that_new_keys_count(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    source = KeyFile(issuer="https://issuer.example", file=file)
    file.write_text('{"keys": []}')
    assert (await source.fetch()).document == {"keys": []}
    file.write_text('{"keys": [{"kid": "new"}]}')
    issued = await source.fetch()
    assert issued.issuer == "https://issuer.example"
    assert issued.document == {"keys": [{"kid": "new"}]}


@pytest.mark.parametrize("content", [None, "not JSON", "[]"])
async def test_a_file_without_keys_proves_nothing_and_says_which_it_is(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(KeysError, match=r"jwks\.json"):
        await KeyFile(issuer="https://issuer.example", file=file).fetch()
