"""The models that there are."""

from typing import Any

from tokenflow_gateway.api import answers
from tokenflow_gateway.api.gateway import Gateway
from tokenflow_gateway.api.routes import MODELS
from tokenflow_gateway.errors import ModelNotFoundError
from tokenflow_gateway.front.exchange import Answer
from tokenflow_gateway.upstream.models import ServedModel


def list_models(gateway: Gateway, answer: Answer) -> None:
    """Answer with the models of all upstreams."""
    answers.document(answer, {"object": "list", "data": [_entry(model) for model in gateway.fleet.models()]})


def describe_model(gateway: Gateway, answer: Answer, name: str) -> None:
    """Answer with one model.

    Raises:
        ModelNotFoundError: no upstream serves it.
    """
    for model in gateway.fleet.models():
        if model.name == name:
            answers.document(answer, _entry(model))
            return
    raise ModelNotFoundError(f"no upstream serves model {name!r}: GET {MODELS} lists those that are", param="model")


def _entry(model: ServedModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": model.created, "owned_by": model.owned_by}
