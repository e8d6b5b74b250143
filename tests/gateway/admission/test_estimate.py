import pytest

from tokenflow_gateway.admission.estimate import input_tokens


@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        ({}, 0),
        ({"model": "a-long-name-that-nobody-reads"}, 0),
        ({"prompt": "x" * 400}, 100),
        ({"prompt": ["x" * 4, "y" * 4]}, 2),
        ({"prompt": [1, 2, 3]}, 3),
        ({"input": [[1, 2], [3]]}, 3),
        ({"messages": [{"role": "user", "content": "x" * 389}]}, 101),
        ({"input": "\u00e9" * 4}, 2),
        ({"prompt": None}, 0),
    ],
)
def test_prompts_are_counted(document: dict[str, object], tokens: int) -> None:
    assert input_tokens(document) == tokens


def test_an_image_counts_the_same_whatever_its_size() -> None:
    def request(image: str) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}]}

    small, large = (input_tokens(request("data:image/png;base64," + "A" * size)) for size in (10, 100_000))
    assert small == large
    assert 765 <= small < 800


def test_sound_counts_as_data() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}}
    assert 765 <= input_tokens({"messages": [{"role": "user", "content": [part]}]}) < 800


def test_tools_count() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 4000}}
    assert 1000 <= input_tokens({"messages": [], "tools": [tool]}) < 1020


def test_deep_documents_are_walked_to_the_end() -> None:
    deep: object = "x" * 40
    for _ in range(5000):
        deep = [deep]
    assert input_tokens({"prompt": deep}) == 10
