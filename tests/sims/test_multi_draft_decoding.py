"""Decoding with several drafts, on Markov chains where tokens a call are known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars
import pytest

import sims.multi_draft_decoding as decoding
from sims.block_efficiency import accepted, efficiency, levels
from sims.runner import Place
from spectheory.audit.enumeration import enumerate_rule
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.tabular import TabularModel
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError
from spectheory.verification.rule import rule

CONFIG = decoding.Config(
    prompts=("chains",), limit=16, new_tokens=64, levels=2, counts=(2,), batch=16, resamples=999
)
Z = 4.9
"""Standard errors beyond which an exact value is denied: false alarm 1e-6."""


@pytest.fixture(scope="module")
def chains():
    rng = np.random.default_rng(4)
    return tuple(TabularModel.random(5, 1, rng, exact=False) for _ in range(2))


@pytest.fixture(autouse=True)
def setting(chains, monkeypatch):
    target, draft = chains
    prompts = [np.array([0, i % 5]) for i in range(CONFIG.limit)]
    found = decoding.Setting(target, ModelDraft(draft), prompts)
    monkeypatch.setattr(decoding, "setting", lambda config: found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture
def table(setting, folder):
    return decoding.run(CONFIG, Place(folder))


def exact(target, draft):
    """Tokens a call of rejection over long texts, from the chains' transition laws."""
    matrix = accepted("rejection", "iid", 1, target, draft)
    steps = levels(matrix, target, CONFIG.levels)
    return efficiency(*steps, target, matrix.sum(axis=1)).exact


def test_tokens_a_call_are_those_of_the_chain(table, chains):
    target, draft = (model.tables[1] for model in chains)
    part = table.filter(polars.col("k") == 1)
    tokens, calls = (part[name].to_numpy().astype(float) for name in ("tokens", "calls"))
    assert (tokens == CONFIG.new_tokens).all()
    ratio = tokens.sum() / calls.sum()
    error = np.std(tokens - ratio * calls, ddof=1) * np.sqrt(len(calls)) / calls.sum()
    assert abs(ratio - exact(target, draft)) < Z * error
    assert abs(ratio - exact(target, target)) > Z * error  # what a perfect draft would give


def test_first_levels_are_those_of_enumeration(table, chains):
    target, draft = (model.tables[1] for model in chains)
    by_rule = {
        (key, k): [
            float(enumerate_rule(rule(key), scheme("iid"), p, q, k).acceptance)
            for p, q in zip(target, draft, strict=True)
        ]
        for key, k in CONFIG.verifiers()
    }
    for key, k, first in table.select("rule", "k", "first").iter_rows():
        assert len(first) == CONFIG.new_tokens
        states = np.argmin(np.abs(np.subtract.outer(first, by_rule[key, k])), axis=1)
        assert np.allclose(first, np.array(by_rule[key, k])[states], rtol=0, atol=1e-9)
    state = 3  # prompt 3 ends in it, so its first continuation token is drawn there
    row = table.filter(polars.col("prompt") == 3)
    for key, k, first in row.select("rule", "k", "first").iter_rows():
        assert first[0] == pytest.approx(by_rule[key, k][state], abs=1e-9)


def test_orders_are_found_and_a_wrong_one_is_contradicted(table):
    one, best = decoding.ONE, (decoding.OPTIMAL, 2)
    right, wrong = decoding.orders(CONFIG, table, [(one, best), (best, one)])
    assert right.verdict == "as theory says"
    assert right.worst >= 0
    assert wrong.verdict == "contradicted"
    assert wrong.worst < -1e-3
    assert wrong.tokens.value == -right.tokens.value
    same = decoding.orders(CONFIG, table, [(one, one)])[0]
    assert same.tokens == same.first == (0, 0, 0)
    assert same.verdict == "not separated"


def test_theory_holds_at_each_position(table):
    claimed = decoding.orders(CONFIG, table, CONFIG.ordered())
    assert len(claimed) == 5  # three above one draft, two below the optimum
    assert min(order.worst for order in claimed) > -1e-12
    page = decoding.render(CONFIG, table)
    assert "ordered as theory says, within intervals" in page
    assert page.count("| `optimal_iid`") >= 2


def test_a_finished_run_is_read_again(table, folder, monkeypatch):
    for work in ("decode", "along"):
        monkeypatch.setattr(decoding, work, lambda *_: pytest.fail("worked again"))
    assert decoding.run(CONFIG, Place(folder)).equals(table)


def test_more_prompts_than_there_are_is_an_error(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("spectheory.decoding.prompts.prompts", lambda name, limit: ["a", "b"])
    with pytest.raises(InputError, match="`limit` is 3, but humaneval and mtbench have 4"):
        decoding.setting(replace(decoding.Config(), limit=3))
