"""The experiments on image codes run small, keep what is finished, and their tables hold up."""

from __future__ import annotations

import numpy as np
import pytest

from sims import digits_vq, grouped_bias


def test_methods_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(digits_vq, "KEPT", tmp_path)
    config = digits_vq.Config(images=20, groups=(16,), splits=9)
    first = digits_vq.run(config)
    assert (first["tokens_per_call"] >= 1).all()
    assert first.filter(first["decoder"] == "plain")["tokens_per_call"].to_list() == [1.0]
    assert first.filter(first["decoder"] == "jacobi")["draft_calls"].sum() == 0

    def not_again(*arguments):
        raise AssertionError("drawn again")

    monkeypatch.setattr(digits_vq, "draw", not_again)
    assert digits_vq.run(config).equals(first)
    text = digits_vq.markdown(first, config)
    assert text.count("\n") == len(first) + 4
    with pytest.raises(AssertionError, match="drawn again"):
        digits_vq.run(digits_vq.Config(images=21, groups=(16,), splits=9))


def test_bias_table():
    config = grouped_bias.Config(
        images=6, draws=8, groups=(128, 8), ranks=(1,), draft_ranks=(3,), transported=0
    )
    table = grouped_bias.run(config)
    gap = np.abs(table["measured"] - table["bias"])
    assert (gap <= grouped_bias.Z * table["error"]).all()
    by = {(r["rule"], r["setting"]): r for r in table.iter_rows(named=True)}
    single, eight = by["grouped", "128 groups"], by["grouped", "8 groups"]
    assert single["bias"] < 1e-12  # a group a token is rejection
    assert abs(single["ladder"] - by["rejection", "one draft"]["ladder"]) < 1e-12
    assert eight["bias"] <= by["grouped_keep", "8 groups"]["bias"]
    assert by["grouped_redraw", "8 groups"]["bias"] < 1e-12
    assert grouped_bias.markdown(table, config, 0.5).count("\n") == len(table) + 4
