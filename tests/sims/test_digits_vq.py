"""The experiments on image codes run small, keep what is finished, and their tables hold up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sims import digits_vq, grouped_bias
from spectheory.digits import weights as digits_weights
from spectheory.digits.vq_pair import load_code_pair
from spectheory.verification.judge import Judge
from spectheory.verification.rule import rule
from spectheory.verification.token_groups import Neighbourhoods


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


@pytest.mark.parametrize("weights", ["vq-target", "vq-draft"])
def test_methods_are_drawn_again_with_other_weights(tmp_path, monkeypatch, weights):
    config, pair = digits_vq.Config(images=2), load_code_pair()
    method = digits_vq.Method("draft", rule("judge"), "judge")
    drawn = draws(monkeypatch, tmp_path)
    digits_vq.kept(method, config, pair)
    digits_vq.kept(method, config, pair)
    assert len(drawn) == 1
    other = digits_weights.pinned("vq-") | {f"{weights}.safetensors": "retrained"}
    monkeypatch.setattr(digits_weights, "_checksums", lambda folder: other)
    digits_vq.kept(method, config, pair)
    assert len(drawn) == 2


def test_methods_are_drawn_again_with_another_rule_of_that_name(tmp_path, monkeypatch):
    config, pair = digits_vq.Config(images=2), load_code_pair()
    drawn = draws(monkeypatch, tmp_path)
    rules = {one.name: one.rule for one in digits_vq.methods(config, pair.codebook)}
    assert " at 0x" not in repr(rules)  # an address names nothing
    near = rules["lantern, 0.2"]
    moved = replace(near, neighbours=Neighbourhoods(8, pair.codebook + 1e-3))
    for one in (Judge(0.25), Judge(0.5), near, moved):
        digits_vq.kept(digits_vq.Method("jacobi", one, "a rule"), config, pair)
    assert len(drawn) == 4


def test_methods_are_drawn_again_by_other_source(tmp_path, monkeypatch):
    config, pair = digits_vq.Config(images=2), load_code_pair()
    drawn = draws(monkeypatch, tmp_path)
    for digest in ("one", "one", "two"):
        monkeypatch.setattr(digits_vq, "source_digest", lambda *_, digest=digest: digest)
        digits_vq.kept(digits_vq.Method("draft", rule("judge"), "judge"), config, pair)
    assert len(drawn) == 2


def draws(monkeypatch, folder):
    """Methods that are drawn from here on, each kept in the folder."""
    found, draw = [], digits_vq.draw

    def counted(method, config, pair):
        found.append(method)
        return draw(digits_vq.Method("plain", None, "plain"), config, pair)

    monkeypatch.setattr(digits_vq, "KEPT", folder)
    monkeypatch.setattr(digits_vq, "draw", counted)
    return found


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
