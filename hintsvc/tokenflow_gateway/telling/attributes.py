"""What the span of a request says of it, by the conventions of generative AI; nothing of what was said in it."""

from tokenflow_gateway.identity.bounds import Asked
from tokenflow_gateway.stream.usage import Usage
from tokenflow_gateway.telling.operations import PROVIDER
from tokenflow_gateway.telling.progress import Progress

Values = dict[str, str | int | float | bool]


def of_request(asked: Asked) -> Values:
    """Return what was asked for."""
    values: Values = {
        "gen_ai.operation.name": asked.kind.operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": asked.model,
        "gen_ai.request.choice.count": asked.choices,
    }
    if asked.max_tokens is not None:
        values["gen_ai.request.max_tokens"] = asked.max_tokens
    return values


def of_usage(usage: Usage | None) -> Values:
    """Return what it took, where that is known."""
    if usage is None:
        return {}
    return {"gen_ai.usage.input_tokens": usage.input_tokens, "gen_ai.usage.output_tokens": usage.output_tokens}


def of_stream(progress: Progress) -> Values:
    """Return what it was like for its reader, where it was a stream."""
    if progress.first_token_s is None:
        return {}
    return {
        "tokenflow.time_to_first_token_seconds": progress.first_token_s,
        "tokenflow.stalls": progress.stalls,
        "tokenflow.stalled_seconds": progress.waited_s,
        "tokenflow.quality_of_experience": progress.quality,
    }
