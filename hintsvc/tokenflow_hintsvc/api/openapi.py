"""The OpenAPI 3.1 document of the API, made from its endpoints and the models that they speak."""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from tokenflow_api._base import WireModel
from tokenflow_api.meta import NAME_PATTERN
from tokenflow_hintsvc.api.endpoint import Endpoint, Parameter
from tokenflow_hintsvc.problems import CONTENT_TYPE, Problem

_Use = tuple[type[BaseModel], JsonSchemaMode]
_References = dict[_Use, dict[str, Any]]
_SENT: Final = "serialization"
_TAKEN: Final = "validation"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_JSON: Final = "application/json"
_HEAD: Final = (400, 414, 431, 500)
"""Problems of every endpoint: a head that is none or too long, and our own errors."""
_GUARDED: Final = (401, 403, 429, 503)
"""Problems of every endpoint that the guard stands before."""

_PATH_PARAMETERS: Final = {
    "tenant": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 63, "examples": ["gold"]},
}
_ABOUT: Final = (
    "Tells how fast the tenants of one PacingPolicy may stream, and takes in what agents and gateways measure."
    " Errors are problem documents (RFC 9457) with a code, a remedy and a trace id."
)
_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of a tenant, a token of the policy's issuer, or a projected service-account token of"
    " audience tokenflow-hintsvc. Tenants without apiKeysSecretRef need none.",
}
_CERTIFICATE: Final = {
    "type": "mutualTLS",
    "description": "Needed where the Secret in spec.security.tlsSecretRef holds client-ca.crt.",
}
_RETRY_AFTER: Final = {
    "description": "Seconds until another try makes sense.",
    "schema": {"type": "integer", "minimum": 0},
}


class Document:
    """The document of some endpoints, made when somebody first asks for it."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    @cached_property
    def encoded(self) -> bytes:
        """The document as JSON."""
        return json.dumps(self.content(), indent=1).encode()

    def content(self) -> dict[str, Any]:
        """Return the document."""
        references, schemas = _schemas(self._endpoints)
        paths: dict[str, dict[str, Any]] = {}
        for endpoint in self._endpoints:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, references)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "TokenFlow hint service",
                "version": version("tokenflow-operator"),
                "description": _ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"bearer": _BEARER, "certificate": _CERTIFICATE},
                "headers": {"Retry-After": _RETRY_AFTER},
            },
        }


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[_References, dict[str, Any]]:
    """Return how to refer to the models of all endpoints, and their schemas.

    What one of them both sends and takes in has two: a default is always there in what is sent.
    """
    sent = {endpoint.reply for endpoint in endpoints if endpoint.reply} | {Problem}
    taken = {endpoint.body for endpoint in endpoints if endpoint.body}
    wanted: list[_Use] = [*((model, _SENT) for model in sent), *((model, _TAKEN) for model in taken)]
    wanted.sort(key=lambda use: (use[0].__name__, use[1]))
    references, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    return {use: references[use] for use in wanted}, definitions["$defs"]


def _operation(endpoint: Endpoint, references: _References) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "parameters": [
            *(_path_parameter(name) for name in _PARAMETER.findall(endpoint.path)),
            *(_parameter(parameter, place="query") for parameter in endpoint.query),
            *(_parameter(parameter, place="header") for parameter in endpoint.headers),
        ],
        "responses": {"200": {"description": "As asked.", **_content(endpoint.reply, endpoint.media_type, references)}},
        "security": _security(endpoint),
    }
    if endpoint.body:
        operation["requestBody"] = {
            "required": True,
            **_content(endpoint.body, endpoint.body_media_type, references, mode=_TAKEN),
        }
    if endpoint.revalidated:
        operation["responses"]["304"] = {"description": "The caller has it already."}
    problems = {*endpoint.problems, *_HEAD, *(() if endpoint.public else _GUARDED)}
    operation["responses"] |= {str(status): _problem(status, references) for status in sorted(problems)}
    return operation


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    """Return which credentials do, each one way."""
    if endpoint.public:
        return []
    ways: list[dict[str, list[str]]] = [{"bearer": []}]
    if endpoint.certified:
        ways.append({"bearer": [], "certificate": []})
    if endpoint.anonymous:
        ways.append({})
    return ways


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]}


def _parameter(parameter: Parameter, *, place: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }


def _content(
    model: type[WireModel] | None, media_type: str, references: _References, *, mode: JsonSchemaMode = _SENT
) -> dict[str, Any]:
    essence = media_type.partition(";")[0]
    if model is None:
        return {"content": {essence: {}}}
    return {"content": {essence: {"schema": references[model, mode]}}}


def _problem(status: int, references: _References) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {CONTENT_TYPE: {"schema": references[Problem, _SENT]}},
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


async def get_openapi(request: web.Request) -> web.Response:
    """Answer with the OpenAPI document."""
    return web.Response(body=request.app[OPENAPI].encoded, content_type=_JSON)


OPENAPI: Final = web.AppKey("openapi", Document)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/openapi.json",
        handler=get_openapi,
        summary="Read this document.",
        anonymous=True,
    ),
)
