"""How many tokens a prompt has, before the upstream tells.

Without the model's tokenizer it is an estimate: English text has about four bytes per token. It only decides what is
reserved; what counts in the end is what the upstream measured.
"""

from collections.abc import Mapping
from typing import Any, Final

BYTES_PER_TOKEN: Final = 4
MEDIA_TOKENS: Final = 765
"""Of an image or a sound that comes as data, whose bytes say nothing of its tokens."""
_PROMPT: Final = ("messages", "prompt", "input", "instructions", "tools", "functions", "suffix", "response_format")
"""Members of OpenAI's requests that the model reads."""
_DATA: Final = ("data", "file_data")
_DATA_URL: Final = "data:"


def input_tokens(document: Mapping[str, Any]) -> int:
    """Return about how many tokens the prompt of a request has.

    Texts count by their bytes, numbers as one token each (prompts may come as tokens), data as ``MEDIA_TOKENS``.

    Args:
        document: the request's body.
    """
    size = tokens = 0
    rest: list[Any] = [document[name] for name in _PROMPT if name in document]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            if part.startswith(_DATA_URL):
                tokens += MEDIA_TOKENS
            else:
                size += len(part.encode(errors="replace"))
        elif isinstance(part, Mapping):
            for name, value in part.items():
                if name in _DATA and isinstance(value, str):
                    tokens += MEDIA_TOKENS
                else:
                    size += len(name)
                    rest.append(value)
        elif isinstance(part, list):
            rest.extend(part)
        elif part is not None:
            tokens += 1
    return tokens + -(-size // BYTES_PER_TOKEN)
