"""Redis URLs."""

import pytest

from tokenflow_hintsvc.errors import RedisUrlError
from tokenflow_hintsvc.store.address import Form, Login, Node, RedisAddress, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://r", RedisAddress(form=Form.SINGLE, nodes=(Node("r", 6379),))),
        (
            "rediss://u:p%40ss@r:1/2?ssl_ca_certs=/ca.crt",
            RedisAddress(
                form=Form.SINGLE,
                nodes=(Node("r", 1),),
                database=2,
                login=Login(username="u", password="p@ss"),
                tls=True,
                authorities="/ca.crt",
            ),
        ),
        (
            "redis+sentinel://:p@a,b:1,[::1]:2/mymaster/3?sentinel_password=s",
            RedisAddress(
                form=Form.SENTINEL,
                nodes=(Node("a", 26379), Node("b", 1), Node("::1", 2)),
                master="mymaster",
                database=3,
                login=Login(password="p"),
                sentinel_login=Login(password="s"),
            ),
        ),
        (
            "rediss+cluster://u:p@a:1,b",
            RedisAddress(
                form=Form.CLUSTER,
                nodes=(Node("a", 1), Node("b", 6379)),
                login=Login(username="u", password="p"),
                tls=True,
            ),
        ),
    ],
)
def test_a_url_says_where_redis_is(url: str, address: RedisAddress) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "http://:hunter2@r",
        "redis+other://:hunter2@r",
        "redis://:hunter2@",
        "redis://:hunter2@a,b",
        "redis://:hunter2@r:hunter2",
        "redis://:hunter2@r/hunter2",
        "redis://:hunter2@r/1/2",
        "redis://:hunter2@r/-1",
        "redis://:hunter2@r?hunter2=1",
        "redis://:hunter2@r?hunter2",
        "redis+sentinel://:hunter2@a",
        "redis+cluster://:hunter2@a/1",
        "redis+cluster://:hunter2@" + ",".join("a" * 100),
    ],
)
def test_what_is_no_such_url_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(RedisUrlError) as refused:
        parse(url)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(parse("redis://u:hunter2@r?sentinel_password=hunter2"))
