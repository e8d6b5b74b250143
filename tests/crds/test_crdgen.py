from typing import Annotated

import pytest
from pydantic import Field

from tokenflow_api import crdgen
from tokenflow_api._base import ApiModel
from tokenflow_api.errors import SchemaGenerationError


def test_the_committed_files_are_up_to_date() -> None:
    assert crdgen.stale(crdgen.files()) == []


def test_a_stale_file_is_found() -> None:
    path, content = next(iter(crdgen.files().items()))
    assert "no such line" in crdgen.stale({path: content + "no such line\n"})[0]


class Unbounded(ApiModel):
    name: str = Field(default="", description="A string without a bound.")


class Floating(ApiModel):
    ratio: float = Field(default=0.5, description="A float.")


class Loose(ApiModel):
    names: list[Annotated[str, Field(max_length=5)]] = Field(default=[], description="A list without a bound.")


class Exotic(ApiModel):
    name: Annotated[str, Field(max_length=5)] = Field(default="", json_schema_extra={"contentEncoding": "base64"})


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Unbounded, "Unbounded.name: a string needs max_length"),
        (Floating, "Floating.ratio: floats"),
        (Loose, "Loose.names: a list needs max_length"),
        (Exotic, "contentEncoding is not known"),
    ],
)
def test_what_a_crd_cannot_say_fails(model: type[ApiModel], words: str) -> None:
    with pytest.raises(SchemaGenerationError, match=words):
        crdgen.structural(model)
