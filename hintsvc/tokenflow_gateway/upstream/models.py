"""The models that an upstream lists, LoRA adapters among them."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, ValidationError

from tokenflow_api._base import WireModel
from tokenflow_api.faults import first_fault
from tokenflow_gateway.errors import UpstreamBrokeOffError

MOST_MODELS: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model that can be asked for.

    Attributes:
        name: to ask for it by.
        owned_by: who made it, as the upstream says.
        created: Unix time in seconds, as the upstream says; 0 where it says nothing.
        parent: model that it adapts, as vLLM says of LoRA adapters; empty for none.
    """

    name: str
    owned_by: str = "tokenflow"
    created: int = 0
    parent: str = ""


class _Listed(WireModel):
    id: Annotated[str, Field(min_length=1, max_length=256)]
    owned_by: Annotated[str, Field(max_length=256)] = "tokenflow"
    created: int = 0
    parent: Annotated[str, Field(max_length=256)] | None = None


class _Listing(WireModel):
    data: Annotated[list[_Listed], Field(max_length=MOST_MODELS)]


def parse_models(document: bytes, *, upstream: str) -> tuple[ServedModel, ...]:
    """Return what an answer to ``GET /v1/models`` lists.

    Raises:
        UpstreamBrokeOffError: it is no such list.
    """
    try:
        listing = _Listing.model_validate_json(document)
    except ValidationError as error:
        raise UpstreamBrokeOffError(
            f"upstream {upstream!r} lists models in a form of its own: {first_fault(error)}"
        ) from error
    return tuple(
        ServedModel(name=one.id, owned_by=one.owned_by, created=one.created, parent=one.parent or "")
        for one in listing.data
    )
