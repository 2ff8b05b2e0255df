import gzip
import json
from itertools import pairwise

import pytest

from spectheory.decoding import prompts as module
from spectheory.decoding.prompts import nested, prompts, spread, stdlib_source
from spectheory.errors import InputError, SourceUnavailable, UnknownName


@pytest.fixture
def ten_tasks(tmp_path, monkeypatch):
    lines = [json.dumps({"prompt": f"task {i}\n", "canonical_solution": "done"}) for i in range(10)]
    path = tmp_path / "tasks.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setattr(module, "prompt_set", lambda name: path)


def test_order_and_limit(ten_tasks):
    assert prompts("tasks")[3] == "task 3\ndone"
    assert prompts("tasks", 2) == ["task 0\ndone", "task 5\ndone"]
    assert prompts("tasks", 99) == prompts("tasks")
    with pytest.raises(InputError, match="`limit` is 0"):
        prompts("tasks", 0)


@pytest.mark.parametrize("size", [1, 2, 80, 164])
def test_the_first_few_of_a_nested_order_are_spread_over_all(size):
    order = nested(size)
    assert sorted(order) == list(range(size))
    for count in (2, 8, 32):
        if count < size:
            gaps = [b - a for a, b in pairwise(sorted([-1, *order[:count], size]))]
            assert max(gaps) <= 2 * size / count + 1


def test_turns_are_joined(tmp_path, monkeypatch):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"turns": ["one?", "two?"]}) + "\n")
    monkeypatch.setattr(module, "prompt_set", lambda name: path)
    assert prompts("questions") == ["one?\n\ntwo?"]


def test_spread_keeps_order_and_never_repeats():
    for size in range(1, 30):
        for limit in range(1, 35):
            chosen = spread(size, limit)
            assert len(set(chosen)) == len(chosen) == min(size, limit)
            assert chosen == sorted(chosen)
            assert chosen[-1] < size


def test_unknown_set():
    with pytest.raises(UnknownName, match="humaneval, mtbench"):
        prompts("nonesuch")


def test_stdlib_source():
    text = stdlib_source(30_000)
    assert len(text) == 30_000
    assert "import" in text
    assert stdlib_source(30_000) == text


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "count", "start"),
    [("humaneval", 164, "from typing import List"), ("mtbench", 80, "Compose an engaging")],
)
def test_the_real_sets(name, count, start):
    try:
        texts = prompts(name)
    except SourceUnavailable as error:
        pytest.skip(f"{name} cannot be had here: {error}")
    assert len(texts) == len(set(texts)) == count
    assert texts[0].startswith(start)
