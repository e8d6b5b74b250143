import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenflow_agent.l7.routes import Routes
from tokenflow_api.windows import OTHER_ROUTE

TEMPLATES = ["/v1/*", "/v1/models", "/v1/*/items/*", "/healthz", "/"]
ROUTES = Routes(TEMPLATES)


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/v1/abc", "/v1/*"),
        ("/v1/models", "/v1/models"),
        ("/v1/models?limit=3", "/v1/models"),
        ("/v1/42/items/43", "/v1/*/items/*"),
        ("http://host.example/v1/abc?x#y", "/v1/*"),
        ("http://host.example", "/"),
        ("/", "/"),
        ("/v1/", OTHER_ROUTE),
        ("/v1/a/b", OTHER_ROUTE),
        ("/v2/abc", OTHER_ROUTE),
        ("*", OTHER_ROUTE),
        ("", OTHER_ROUTE),
        ("/healthz#x", "/healthz"),
        ("/healthz/", OTHER_ROUTE),
    ],
)
def test_targets_are_named(target: str, route: str) -> None:
    assert ROUTES.name(target) == route


@given(st.text(string.printable, max_size=60))
def test_a_route_is_always_one_of_the_templates(target: str) -> None:
    assert ROUTES.name(target) in {*TEMPLATES, OTHER_ROUTE}


@given(st.text(string.ascii_letters + "/-", max_size=30), st.text(string.printable, max_size=30))
def test_a_query_never_matters(path: str, query: str) -> None:
    assert ROUTES.name(f"/{path}?{query}") == ROUTES.name(f"/{path}")


def test_what_is_remembered_is_bounded() -> None:
    routes = Routes(TEMPLATES)
    for number in range(20_000):
        routes.name(f"/v1/{number}")
    assert len(routes._remembered) <= 4096
