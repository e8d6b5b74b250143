"""OpenAI's client by TLS and by HTTP/2, through a whole gateway."""

from pathlib import Path

import httpx
import openai
import pytest

from tests.gateway.support import running
from tests.serving.authority import Authority


@pytest.mark.parametrize(("tls", "http2"), [(True, True), (True, False), (False, True)])
async def test_openais_client_streams_by_tls_and_by_http2(tmp_path: Path, *, tls: bool, http2: bool) -> None:
    authority, certificate = Authority("ca"), tmp_path / "certificate"
    authority.issue(certificate, "gateway")
    async with running(tmp_path, tls=certificate if tls else None) as setup:
        versions = []

        async def note(response: httpx.Response) -> None:
            versions.append(response.http_version)

        transport = httpx.AsyncClient(
            http1=not http2, http2=http2, verify=authority.client(), event_hooks={"response": [note]}
        )
        async with openai.AsyncOpenAI(
            base_url=f"{setup.url}/v1", api_key="any", max_retries=0, http_client=transport
        ) as client:
            said = ""
            stream = await client.chat.completions.create(
                model="llama-3", messages=[{"role": "user", "content": "hello"}], max_tokens=20, stream=True
            )
            async for chunk in stream:
                said += chunk.choices[0].delta.content or "" if chunk.choices else ""
            whole = await client.chat.completions.create(
                model="llama-3", messages=[{"role": "user", "content": "hello"}], max_tokens=20
            )
    assert whole.choices[0].message.content == said
    assert said
    assert versions == ["HTTP/2" if http2 else "HTTP/1.1"] * 2
