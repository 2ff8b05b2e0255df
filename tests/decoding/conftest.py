"""What tests of trained drafters share."""

import numpy as np
import pytest


@pytest.fixture
def target():
    """A random transformer of four small layers."""
    pytest.importorskip("torch")
    from tests.decoding.tiny_drafter import tiny

    return tiny()


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Two files of text to take prompts from; named from their folder, for the same runs always."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a.txt", "b.txt"):
        words = ["".join(chr(97 + c) for c in rng.integers(26, size=5)) for _ in range(400)]
        (tmp_path / name).write_text("\n".join(words))
    return ("a.txt",), ("b.txt",)
