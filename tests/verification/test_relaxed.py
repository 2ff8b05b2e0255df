"""Relaxed single-draft rules: bias formulas against loops, linear programs and enumeration."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from scipy.optimize import linprog

from spectheory.audit import conformance
from spectheory.audit.enumeration import enumerate_rule
from spectheory.distributions import overlap, residual, total_variation
from spectheory.drafting.scheme import schemes
from spectheory.errors import InputError, VocabularyMismatch
from spectheory.verdict import Verdict
from spectheory.verification.amplify import Amplify
from spectheory.verification.grouped import Grouped
from spectheory.verification.grouped_best import GroupedBest
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.grouped_redraw import GroupedRedraw
from spectheory.verification.grouped_window import GroupedWindow
from spectheory.verification.judge import Judge
from spectheory.verification.lantern import Lantern
from spectheory.verification.lantern_plus_plus import LanternPlusPlus
from spectheory.verification.local_threshold import LocalThreshold
from spectheory.verification.relaxed import RelaxedRule
from spectheory.verification.token_groups import Neighbourhoods, Partition, RankWindow

IID = schemes()["iid"]
COUNTEREXAMPLE = (
    conformance.law_of((20, 10, 25, 15, 30)),
    conformance.law_of((20, 5, 30, 15, 30)),
)


def random_law(rng, size, zeros=0.2):
    weights = rng.integers(1, 30, size) * (rng.random(size) >= zeros)
    weights[rng.integers(size)] += 1
    return conformance.law_of(tuple(int(w) for w in weights))


def instances(size=9, count=12, groups=4):
    """Exact (target, draft, labels), every group with a token."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        labels = np.append(np.arange(groups), rng.integers(0, groups, size - groups))
        yield random_law(rng, size), random_law(rng, size), rng.permutation(labels)


def exact_law(rule, p, q):
    return enumerate_rule(rule, IID, p, q, 1).law


def group_sums(law, labels):
    return {g: sum(law[labels == g], Fraction(0)) for g in set(labels.tolist())}


def least_bias_by_program(accepted, p):
    """Least total variation to p over all residual laws r of ``accepted + (1 - a) r``."""
    accepted, p = accepted.astype(float), p.astype(float)
    size, left = p.size, 1 - accepted.sum()
    cost = np.append(np.zeros(size), np.ones(size))
    above = np.hstack([left * np.eye(size), -np.eye(size)])
    one = np.append(np.ones(size), np.zeros(size))[None]
    found = linprog(cost, A_ub=above, b_ub=p - accepted, A_eq=one, b_eq=[1], method="highs")
    assert found.status == 0
    return found.fun


def test_grouped_acceptance_and_bias_on_partitions():
    strict = 0
    for p, q, labels in instances():
        big_p, big_q = group_sums(p, labels), group_sums(q, labels)
        shared = {g: min(big_p[g], big_q[g]) for g in big_p}
        accepted = np.array(
            [shared[g] * x / big_q[g] if x else x for g, x in zip(labels, q, strict=True)]
        )
        excess = sum((max(a - x, 0) for a, x in zip(accepted, p, strict=True)), Fraction(0))
        rule = Grouped(Partition(labels))
        assert enumerate_rule(rule, IID, p, q, 1).ladder == sum(shared.values()) >= overlap(p, q)
        assert total_variation(exact_law(rule, p, q), p) == excess == rule.least_bias(p, q)
        assert abs(least_bias_by_program(accepted, p) - float(excess)) < 1e-9
        best = GroupedBest(Partition(labels))
        assert total_variation(exact_law(best, p, q), p) == excess
        strict += excess > 0
    assert strict >= 10


def test_group_residual_keeps_the_group_and_has_its_token_bias():
    drift = 0
    for p, q, labels in instances():
        keep, grouped = GroupedKeep(Partition(labels)), Grouped(Partition(labels))
        law = exact_law(keep, p, q)
        assert group_sums(law, labels) == group_sums(p, labels)
        drift += group_sums(exact_law(grouped, p, q), labels) != group_sums(p, labels)
        big_p, big_q = group_sums(p, labels), group_sums(q, labels)
        wanted = Fraction(0)
        for g in big_p:
            if big_p[g] and big_q[g]:
                inside = labels == g
                apart = total_variation(q[inside] / big_q[g], p[inside] / big_p[g])
                wanted += min(big_p[g], big_q[g]) * apart
        assert total_variation(law, p) == wanted == keep.bias(p, q)
        assert total_variation(exact_law(grouped, p, q), p) <= wanted
        feature = np.random.default_rng(labels.sum()).integers(0, 100, p.size)
        moved = abs((law * feature).sum() - (p * feature).sum())
        bound = sum(
            min(big_p[g], big_q[g])
            * int(np.ptp(feature[labels == g]))
            * total_variation(q[labels == g] / big_q[g], p[labels == g] / big_p[g])
            for g in big_p
            if big_p[g] and big_q[g]
        )
        assert moved <= bound
    assert drift >= 10  # the token residual does not keep the group


def test_redraw_is_exact_and_no_faster_than_rejection():
    slower = 0
    for p, q, labels in instances():
        found = enumerate_rule(GroupedRedraw(Partition(labels)), IID, p, q, 1)
        assert list(found.law) == list(p)
        assert found.acceptance <= overlap(p, q)
        slower += found.acceptance < overlap(p, q)
    assert slower >= 8


def test_windows_are_no_partition():
    """The theorem that grouping accepts at least 1 - TV needs a partition."""
    p, q = COUNTEREXAMPLE
    accepted = enumerate_rule(GroupedWindow(), IID, p, q, 1).ladder
    windows = ((30, 55, 60), (30, 75, 80), (20, 60, 65), (15, 1, 1), (5, 1, 1))  # q, P, Q by rank
    assert accepted == sum(Fraction(mass, 100) * Fraction(a, b) for mass, a, b in windows)
    assert accepted < overlap(p, q) == Fraction(95, 100)


def test_windows_in_the_drafts_order_against_loops():
    rule = GroupedWindow(RankWindow(2, 1, gap=0.15), by_draft=True)
    apart = 0
    for p, q, _ in instances():
        ranked = sorted(range(q.size), key=lambda x: (-q[x], x))
        accepted = p * 0
        for i, x in enumerate(ranked):
            window = [y for y in ranked[max(i - 2, 0) : i + 2] if abs(q[y] - q[x]) < Fraction(0.15)]
            above, below = (sum((law[y] for y in window), Fraction(0)) for law in (p, q))
            if q[x]:
                accepted[x] = q[x] * min(Fraction(1), above / below)
        assert list(rule.accepted(p, q)) == list(accepted)
        conformance.check_output_law(rule, IID, p, q, 1)
        apart += list(accepted) != list(GroupedWindow(rule.groups).accepted(p, q))
    assert apart >= 10


def test_best_residual_beats_the_token_residual_where_a_window_accepts_too_little():
    gained = 0
    for p, q in [COUNTEREXAMPLE, *((p, q) for p, q, _ in instances(count=20))]:
        for window in (RankWindow(1, 1), RankWindow(3, 0)):
            plain, best = Grouped(window), GroupedBest(window)
            bias, least = (total_variation(exact_law(r, p, q), p) for r in (plain, best))
            assert least == best.least_bias(p, q) <= bias
            assert abs(least_bias_by_program(best.accepted(p, q), p) - float(least)) < 1e-9
            too_little = plain.rates(p, q, 1).ladder < overlap(p, q)
            assert too_little or least == bias
            gained += least < bias
    assert gained > 0


@pytest.mark.parametrize("factor", [1.0, 1.25, 3.0])
def test_amplify_is_biased_by_its_extra_acceptance(factor):
    for p, q, _ in instances():
        raised = [min(b, Fraction(factor) * a) for a, b in zip(p, q, strict=True)]
        extra = sum(raised, Fraction(0)) - overlap(p, q)
        rule = Amplify(factor)
        assert total_variation(exact_law(rule, p, q), p) == extra == rule.bias(p, q)
        assert abs(least_bias_by_program(np.array(raised), p) - float(extra)) < 1e-9


def test_judge_law():
    for p, q, labels in instances():
        law = exact_law(Judge(0.25), p, q)
        assert list(law) == list(p * Fraction(3, 4) + q * Fraction(1, 4))
        passes = tuple(float(g) / 4 for g in labels)
        judge = Judge(passes)
        conformance.check_output_law(judge, IID, p, q, 1)
        biased = sum(
            (Fraction(j) * max(b - a, 0) for j, a, b in zip(passes, p, q, strict=True)), Fraction(0)
        )
        assert total_variation(exact_law(judge, p, q), p) == biased == judge.bias(p, q)
        assert biased == judge.least_bias(p, q)
        conformance.check_output_law(LocalThreshold(0.4), IID, p, q, 2)


def test_lantern_delta_does_not_bound_the_bias():
    size = 100
    p = conformance.law_of((1,) * size)
    q = conformance.law_of((1, 0) * (size // 2))
    found = enumerate_rule(Lantern(0.01, Neighbourhoods(1)), IID, p, q, 1)
    assert found.ladder == 1
    assert total_variation(found.law, p) == Fraction(1, 2)


def lantern_by_loops(p, q, table, budget):
    law = p * 0
    for x in np.flatnonzero(q > 0):
        borrowed = so_far = Fraction(0)
        for y in table[x]:
            so_far += p[y]
            if so_far > budget(p[x]):
                break
            borrowed = so_far
        accept = min(Fraction(1), (p[x] + borrowed) / q[x])
        law[x] += q[x] * accept
        cleared = q.copy()
        cleared[[x, *table[x]]] = Fraction(0)
        left = np.array([max(a - b, Fraction(0)) for a, b in zip(p, cleared, strict=True)])
        if accept < 1:
            law += q[x] * (1 - accept) * left / left.sum()
    return law


def test_lantern_laws_against_loops():
    for seed, (p, q, _) in enumerate(instances()):
        near = Neighbourhoods(3, np.random.default_rng(seed).normal(size=(p.size, 2)))
        table = near.table(p.size)
        law = lantern_by_loops(p, q, table, lambda mass: Fraction(0.21))
        assert list(law) == list(exact_law(Lantern(0.21, near), p, q))
        conformance.check_output_law(Lantern(0.21, near), IID, p, q, 1)
        plus = LanternPlusPlus(neighbours=near, factor=2.5)
        law = lantern_by_loops(p, q, table, lambda mass: Fraction(3, 2) * mass)
        assert list(law) == list(exact_law(plus, p, q))
        conformance.check_output_law(plus, IID, p, q, 1)
        accepted = q * plus.accept(p, q)
        excess = sum((max(a - x, 0) for a, x in zip(accepted, p, strict=True)), Fraction(0))
        assert excess <= Amplify(2.5).bias(p, q)
        assert total_variation(law, p) >= excess


@pytest.mark.parametrize(
    "window",
    [
        RankWindow(2, 1, gap=0.15),
        RankWindow(0, 4, codebook=np.random.default_rng(3).normal(size=(9, 2)), distance=1.5),
    ],
    ids=["gap", "codebook"],
)
def test_filtered_windows_against_loops(window):
    for p, q, _ in instances():
        ranked = sorted(range(p.size), key=lambda x: (-p[x], x))
        for law in (p, q):
            found = window.around(p, law)
            for i, x in enumerate(ranked):
                wanted = Fraction(0)
                for j, y in enumerate(ranked):
                    near = -window.before <= j - i <= window.after
                    if near and window.gap is not None:
                        near = x == y or abs(p[x] - p[y]) < Fraction(window.gap)
                    if near and window.codebook is not None:
                        apart = window.codebook[x] - window.codebook[y]
                        near = (apart**2).sum() < window.distance
                    wanted += near * law[y]
                assert found[x] == wanted
        conformance.check_output_law(Grouped(window), IID, p, q, 1)
        conformance.check_output_law(GroupedBest(window), IID, p, q, 1)


def test_neighbourhoods_against_all_distances():
    codebook = np.random.default_rng(0).normal(size=(40, 3))
    near = Neighbourhoods(5, codebook)
    table = near.table(40)
    distance = np.linalg.norm(codebook[:, None] - codebook, axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (table == np.argsort(distance, axis=1)[:, :5]).all()
    values = np.random.default_rng(1).random(40)
    wanted = values + [sum(values[x] for x in range(40) if y in table[x]) for y in range(40)]
    assert np.allclose(near.received(values), wanted, rtol=0, atol=1e-12)


def test_equal_codebook_entries_are_neighbours_of_each_other():
    table = Neighbourhoods(1, np.array([[0.0], [0.0], [5.0], [5.0]])).table(4)
    assert table.tolist() == [[1], [0], [3], [2]]


@dataclass(frozen=True)
class AnyAccept(RelaxedRule):
    """Accepts by a table, and replaces by a given law or, without one, by the target's."""

    key: ClassVar[str] = "any"
    table: np.ndarray
    instead: np.ndarray | None = None

    def accept(self, target, draft):
        return self.table

    def residual(self, target, draft):
        return target if self.instead is None else self.instead


def test_any_accept_function_has_a_least_bias_that_one_residual_attains():
    """``TV(out, p) >= sum (q a - p)_+`` whatever the residual, with equality at ``(p - q a)_+``."""
    gained = 0
    for seed, (p, q, _) in enumerate(instances()):
        rng = np.random.default_rng(seed)
        table = np.array([Fraction(int(a), 7) for a in rng.integers(0, 8, p.size)])
        least = AnyAccept(table).least_bias(p, q)
        assert abs(least_bias_by_program(q * table, p) - float(least)) < 1e-9
        missing = np.array([max(a - b, Fraction(0)) for a, b in zip(p, q * table, strict=True)])
        best = AnyAccept(table, missing / missing.sum())
        # Where more is missing than is rejected, any law below it does as well.
        assert total_variation(exact_law(best, p, q), p) == least
        other = total_variation(exact_law(AnyAccept(table, random_law(rng, p.size)), p, q), p)
        assert other >= least
        gained += other > least
    assert gained >= 10


def test_falling_back_to_the_target_is_biased_by_the_overlaps_distance():
    """``TV = a TV(min(p, q) / a, p) <= a (1 - a) <= 1/4``, a the overlap."""
    for p, q, _ in instances():
        ratios = [min(Fraction(1), a / b) if b else a for a, b in zip(p, q, strict=True)]
        law, a = exact_law(AnyAccept(np.array(ratios)), p, q), overlap(p, q)
        kept = np.array([min(a, b) for a, b in zip(p, q, strict=True)])
        found = total_variation(law, p)
        assert found == a * total_variation(kept / a, p)
        assert 0 < found <= a * (1 - a) <= Fraction(1, 4)


@dataclass(frozen=True)
class GroupedCalledLossless(Grouped):
    lossless: ClassVar[bool] = True
    lossless_under: ClassVar[tuple[str, ...]] = ("iid",)

    def output_law(self, target, draft, k, scheme="iid"):
        return target


@dataclass(frozen=True)
class KeepWithTheTokenResidual(GroupedKeep):
    def residual(self, target, draft):
        return Grouped.residual(self, target, draft)


@dataclass(frozen=True)
class LanternWithoutClearing(Lantern):
    def _verdict(self, target, draft, drafts):
        right = super()._verdict(target, draft, drafts)
        return Verdict(drafts, right.accept, residual(target, draft))


@pytest.mark.parametrize(
    "wrong", [GroupedCalledLossless(), KeepWithTheTokenResidual(), LanternWithoutClearing()]
)
def test_conformance_rejects_a_wrong_claim(wrong):
    with pytest.raises(conformance.NotConforming, match="output law"):
        conformance.output_law_is_exact(wrong, IID)


def test_bad_input_is_named():
    p = np.full(4, 0.25)
    with pytest.raises(VocabularyMismatch, match="3 tokens, the laws over 4"):
        Grouped(Partition(np.array([0, 0, 1]))).output_law(p, p, 1)
    with pytest.raises(VocabularyMismatch, match="codebook"):
        Lantern(neighbours=Neighbourhoods(1, np.zeros((3, 2)))).output_law(p, p, 1)
    with pytest.raises(VocabularyMismatch, match="passes"):
        Judge((0.5, 0.5)).output_law(p, p, 1)
    with pytest.raises(InputError, match="factor"):
        Amplify(0.5)
    with pytest.raises(InputError, match="passes"):
        Judge(1.5)
    with pytest.raises(InputError, match="delta"):
        Lantern(-0.1)
    with pytest.raises(InputError, match="factor"):
        LanternPlusPlus(factor=float("nan"))


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_structures_agree_on_another_backend(library):
    convert = pytest.importorskip(library).asarray
    rng = np.random.default_rng(8)
    p, q = rng.dirichlet(np.ones(9), size=(2, 5))
    codebook = rng.normal(size=(9, 2))
    drafts = rng.integers(0, 9, (5, 1))
    for tested in (
        Grouped(Partition(rng.integers(0, 3, 9))),
        Grouped(RankWindow(2, 1, gap=0.1, codebook=codebook, distance=2.0)),
        GroupedRedraw(Partition(rng.integers(0, 3, 9))),
        Lantern(0.2, Neighbourhoods(3, codebook)),
        LocalThreshold(0.4, Neighbourhoods(3, codebook)),
        Judge(rng.random(9)),
    ):
        here = tested.verdict(p, q, drafts).law()
        there = tested.verdict(convert(p), convert(q), convert(drafts)).law()
        assert np.abs(np.asarray(there) - here).max() < 1e-12
        formula = tested.output_law(convert(p), convert(q), 1)
        assert np.abs(np.asarray(formula) - tested.output_law(p, q, 1)).max() < 1e-12
