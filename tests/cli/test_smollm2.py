"""The demonstration and the log of logits on SmolLM2 itself, at a few positions."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.usefixtures("smollm2")]


def test_logits_of_own_prompts_are_logged(run, tmp_path):
    text = tmp_path / "prompts.txt"
    text.write_text("The lighthouse stood on the edge of the world, and every night its keeper\n")
    out = tmp_path / "logged.npz"
    done = run(
        *("logits", "smollm2", "--prompt-file", text, "--positions", 4),
        *("--out", out, "--json"),
    )
    assert done.code == 0, done.err
    assert done.document["vocab_size"] == 49_152
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["target"].shape == (4, 49_152)
        assert np.isfinite(arrays["target"]).all()


def test_demo_measures_every_cell_at_the_real_vocabulary(run, tmp_path):
    done = run(
        *("demo", "--positions", 4, "--limit", 1, "--longest", 24, "--k", "1,2"),
        *("--resamples", 20, "--out", tmp_path, "--json"),
    )
    assert done.code == 0, done.err
    document = done.document
    assert document["vocab_size"] == 49_152
    cells = run("demo", "--positions", 4, "--k", "1,2", "--list").document["cells"]
    assert len(document["rows"]) == len(cells)
    for row in document["rows"]:
        assert 0 <= row["acceptance"] <= 1
        if not row["standard_error"]:
            assert row["acceptance"] <= row["optimum"] + 1e-9, row
    assert (tmp_path / "smollm2.png").stat().st_size > 10_000
