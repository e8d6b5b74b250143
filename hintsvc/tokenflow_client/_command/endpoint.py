"""Where completions come from, and as whom they are asked for."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenflow_client._command.errors import CommandError
from tokenflow_client._connection import CHECK_ENVIRONMENT, NO_CLIENT
from tokenflow_client._options import fits_header, is_web_server

_KEY_VARIABLES: Final = ("TOKENFLOW_API_KEY", "OPENAI_API_KEY")
CONNECT_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """An OpenAI-compatible endpoint, as one caller sees it.

    Attributes:
        url: its base URL, without ``/v1``.
        api_key: shown as a bearer token; empty shows none.
        tenant: name sent as ``x-tenant-id``; empty sends none.

    Raises:
        CommandError: the key or the name cannot be sent.
    """

    url: str
    api_key: str = ""
    tenant: str = ""

    def __post_init__(self) -> None:
        if not fits_header(self.api_key):
            # The key itself is told to nobody.
            raise CommandError("the API key has characters that no header can carry: look for a stray line end")
        if not fits_header(self.tenant):
            raise CommandError(f"{self.tenant!r} is no name of a tenant: no header can carry it")

    @property
    def completions(self) -> str:
        """Where chat completions are asked for."""
        return f"{self.url}/v1/chat/completions"

    def headers(self) -> dict[str, str]:
        """Return what names the caller."""
        named = {"x-tenant-id": self.tenant} if self.tenant else {}
        return named | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})


def base_url(text: str) -> str:
    """Return a URL as people write it without its ``/v1``.

    Raises:
        ValueError: it is no URL of a web server.
    """
    if not is_web_server(text):
        raise ValueError(f"{text!r} is no URL of a web server: write one such as http://localhost:8000")
    return text.rstrip("/").removesuffix("/v1")


def read_key(file: Path | None, *, environment: Mapping[str, str] = os.environ) -> str:
    """Return the API key of a file, else of the environment; empty where there is none.

    Raises:
        CommandError: the file cannot be read, or holds nothing.
    """
    if file is None:
        return next((environment[name] for name in _KEY_VARIABLES if environment.get(name)), "")
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the API key cannot be read: {error}") from error
    if not key:
        raise CommandError(f"{file} holds no API key: write it there, in one line")
    return key


@contextmanager
def connecting() -> Iterator[None]:
    """Tell what keeps an HTTP client from being made.

    Raises:
        CommandError: the environment says what httpx cannot do.
    """
    try:
        yield
    except NO_CLIENT as error:
        raise CommandError(f"{CHECK_ENVIRONMENT} ({error})") from error
