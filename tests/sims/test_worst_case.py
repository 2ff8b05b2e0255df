"""Worst pairs of laws: each is recomputed on Fractions, and small constants are known."""

from fractions import Fraction

import numpy as np
import polars
import pytest

from sims.runner import SHIPPED, file_name
from sims.worst_case import LEAST, Config, run
from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import scheme
from spectheory.transport.optimal_acceptance import optimal_acceptance
from spectheory.verification.rule import rule


def exact(law):
    """The law as Fractions that sum to 1."""
    weights = [Fraction(value) for value in law]
    return np.array([weight / sum(weights) for weight in weights], dtype=object)


@pytest.fixture(scope="module")
def shipped():
    return polars.read_parquet(SHIPPED / file_name("worst_case", Config()))


def test_the_pairs_found_have_the_ratios_said(shipped):
    for row in shipped.filter(polars.col("k") <= 3).iter_rows(named=True):
        target, draft = exact(row["target"]), exact(row["draft"])
        assert min(target.min(), draft.min()) > LEAST / 2
        drawn, k = scheme(row["scheme"]), row["k"]
        found = enumerate_rule(rule(row["rule"]), drawn, target, draft, k).acceptance
        best = optimal_acceptance(target, draft, k, row["scheme"]).value
        # Cancellation of doubles near the border, where both are as small as 1e-4.
        assert float(found / best) == pytest.approx(row["ratio"], rel=1e-4), row


def test_known_constants(shipped):
    ratio = {(r["rule"], r["scheme"], r["k"]): r["ratio"] for r in shipped.iter_rows(named=True)}
    for k in (2, 3, 4):  # one draft in place of k, on a target that k drafts just meet
        assert ratio["naive", "iid", k] == pytest.approx(1 / k, abs=1e-4)
    for row in shipped.filter(polars.col("rule") == "k_seq").iter_rows(named=True):
        assert row["ratio"] > row["bound"]
    assert ratio["spechub", "greedy", 2] > 1 - 1e-6  # optimal for two drafts


def test_a_rule_without_closed_form_is_enumerated():
    small = Config(rules=(("nss", "distinct"),), drafts=(2, 3), vocabs=(3,), rounds=8, population=8)
    table = run(small)
    assert table["k"].to_list() == [2]  # three drafts of three tokens are all of them
    assert 0 < table["ratio"].item() < 0.9
