"""Batched rules draw the tokens of their definitions, tape for tape."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from spectheory import distributions
from spectheory.batched.draws import draw, or_target
from spectheory.batched.k_seq import slowdown
from spectheory.batched.laws import DenseLaws, from_logits, truncated
from spectheory.batched.optimal_iid import BatchedOptimalIid, binned, histogram, ratio_bins
from spectheory.batched.rejection import BatchedRejection
from spectheory.batched.rule import Ladder, batched_rule, batched_rules
from spectheory.drafting.scheme import scheme
from spectheory.errors import (
    DistributionError,
    ImpossibleDraft,
    SchemeMismatch,
    ShapeError,
    VocabularyMismatch,
)
from spectheory.kernels.ratio_histogram import layout
from spectheory.transport.grouped_plan import grouped_plan
from spectheory.verification.k_seq import KSeq
from tests.batched.conftest import pair

TAPES = 6  # tapes a pair of rows


def counts(rule):
    most = rule.definition.most_drafts or 4
    return [k for k in (1, 2, 4) if rule.definition.least_drafts <= k <= most]


def scheme_of(rule):
    covered = rule.definition.schemes
    return scheme("iid" if "iid" in covered else covered[0])


CASES = [(rule, k) for rule in batched_rules().values() for k in counts(rule)]


def drawn(rule, k, logits, top_k=100, seed=0):
    """Laws of the definitions with temperature and top-k, drafts and a tape for each row."""
    generator = np.random.default_rng(seed)
    target = distributions.from_logits(np.tile(logits[0], (TAPES, 1)), 0.8)
    draft = distributions.from_logits(np.tile(logits[1], (TAPES, 1)), 1.1)
    target = distributions.top_k(target, top_k)
    kind = scheme_of(rule)
    tape = generator.random((len(draft), kind.tape_length(k)))
    drafts = kind.sample(draft, k, tape)
    return target, draft, drafts, generator.random((len(draft), k + 1))


def batched(rule, logits, drafts, uniforms, make=from_logits, top_k=100):
    target = make(torch.as_tensor(np.tile(logits[0], (TAPES, 1))), 0.8, top_k=top_k)
    draft = make(torch.as_tensor(np.tile(logits[1], (TAPES, 1))), 1.1)
    return rule(target, draft, torch.as_tensor(drafts), torch.as_tensor(uniforms))


def differing(rule, k, logits, make=from_logits, top_k=100):
    """How many requests get another token or slot than by the definition."""
    target, draft, drafts, uniforms = drawn(rule, k, logits, top_k)
    if rule.key == "optimal_iid":  # scores, as the plan draws them
        rows = zip(target, draft, drafts, uniforms, strict=True)
        want = [grouped_plan(p, q, k).sample(x, u) for p, q, x, u in rows]
        token, slot = (np.array(part) for part in zip(*want, strict=True))
    else:
        token, slot = rule.definition.verdict(target, draft, drafts).sample(uniforms)
    got = batched(rule, logits, drafts, uniforms, make, top_k)
    same = (got.token.numpy() == token) & (got.slot.numpy() == slot)
    return int((~same).sum()), np.asarray(slot)


@pytest.mark.parametrize("make", [from_logits, truncated], ids=["logits", "shortlist"])
@pytest.mark.parametrize(("rule", "k"), CASES, ids=lambda v: getattr(v, "key", str(v)))
def test_tokens_are_those_of_the_definition(rule, k, make, logits):
    differ, slot = differing(rule, k, logits, make)
    assert differ == 0
    assert len(slot) >= 200


@pytest.mark.parametrize("rule", batched_rules().values(), ids=lambda rule: rule.key)
def test_tokens_are_those_of_the_definition_for_many_drafts_from_a_model_s_vocabulary(rule):
    logits = pair("smooth", np.random.default_rng(7), rows=4, size=49_152)
    k, size = rule.definition.most_drafts or 16, logits[0].shape[-1]
    differ, slot = differing(rule, k, logits, top_k=size)
    assert differ == 0
    assert len(set(slot.tolist())) > 1


@pytest.mark.parametrize("settings", [{"top_k": 4}, {"top_p": 0.5}, {"temperature": 0.02}], ids=str)
@pytest.mark.parametrize(("rule", "k"), CASES, ids=lambda v: getattr(v, "key", str(v)))
def test_tokens_are_those_of_the_definition_for_sure_drafts(rule, k, settings):
    """Drafts from few tokens, and from a law whose mass lies on one: 1e-20 on each other."""
    logits = _smooth()
    p, q = (torch.as_tensor(np.tile(part, (TAPES, 1))) for part in logits)
    draft = truncated(q, **{"temperature": 1.0, **settings}).dense()
    kind = scheme_of(rule)
    enough = (draft > 0).sum(-1) >= (k if kind.distinct else 1)
    p, draft = p[enough], draft[enough]
    assert len(p) >= 50
    generator = np.random.default_rng(1)
    tape = generator.random((len(p), kind.tape_length(k)))
    drafts, uniforms = kind.sample(draft.numpy(), k, tape), generator.random((len(p), k + 1))
    target = truncated(p, 0.8, top_k=100)
    got = rule(target, DenseLaws(draft), torch.as_tensor(drafts), torch.as_tensor(uniforms))
    if rule.key == "optimal_iid":
        rows = zip(target.dense().numpy(), draft.numpy(), drafts, uniforms, strict=True)
        want = [grouped_plan(p, q, k).sample(x, u) for p, q, x, u in rows]
        token, slot = (np.array(part) for part in zip(*want, strict=True))
    else:
        verdict = rule.definition.verdict(target.dense().numpy(), draft.numpy(), drafts)
        token, slot = verdict.sample(uniforms)
    np.testing.assert_array_equal(got.token.numpy(), token)
    np.testing.assert_array_equal(got.slot.numpy(), slot)


@pytest.mark.parametrize("key", ["greedy_optimal", "recursive_without_replacement"])
def test_what_sure_drafts_leave_keeps_its_digits(key):
    """Drafts with 1e-15 off the first token: their second draft is verified as on fractions."""
    mass = [Fraction(4, 10), Fraction(3, 10), Fraction(3, 10), Fraction(0)]
    tail = [Fraction(n, 10**16) for n in (8, 1, 1)]
    exact = np.array([1 - sum(tail), *tail]), np.array(mass)
    logits = torch.tensor([[float(m) for m in mass]], dtype=torch.float64).log()
    target = truncated(logits, 1.0, top_k=3)
    assert target.kept is not None  # the path on few tokens, for rules that take it
    draft = DenseLaws(torch.tensor([[float(m) for m in exact[0]]], dtype=torch.float64))
    verdict = batched_rule(key).definition.verdict(exact[1], exact[0], np.array([0, 1]))
    taken = float(verdict.accept[1])
    assert 0.1 < taken < 0.9
    for second, slot in ((taken - 1e-6, 1), (taken + 1e-6, 2)):
        tape = torch.tensor([[0.999999, second, 0.5]], dtype=torch.float64)
        got = batched_rule(key)(target, draft, torch.tensor([[0, 1]]), tape)
        assert int(got.slot) == slot


def test_the_tapes_reach_every_slot():
    logits = _smooth()
    for rule, k in CASES:
        _, slot = differing(rule, k, logits)
        assert set(slot.tolist()) == set(range(k + 1)), rule.key


class FromTheTarget(BatchedRejection):
    """Wrong on purpose: draws from the target where the draft fails."""

    def _ladder(self, target, draft, drafts):
        right = super()._ladder(target, draft, drafts)
        return Ladder(right.accept, lambda failed: target[failed].dense())


class AlwaysTaken(BatchedRejection):
    """Wrong on purpose: takes 1 % more drafts."""

    def _ladder(self, target, draft, drafts):
        right = super()._ladder(target, draft, drafts)
        return Ladder(right.accept * 1.01, right.residual)


@pytest.mark.parametrize("wrong", [FromTheTarget(), AlwaysTaken()], ids=lambda w: type(w).__name__)
def test_wrong_executors_are_caught(wrong):
    logits = tuple(np.tile(part, (8, 1)) for part in _smooth())
    assert differing(wrong, 1, logits)[0] > 0


@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_slowdown_is_the_bisection_s(k, logits):
    target, draft = (distributions.from_logits(part, 0.9) for part in logits)
    found = slowdown(torch.as_tensor(target), torch.as_tensor(draft), k).numpy()
    np.testing.assert_allclose(found, KSeq().slowdown(target, draft, k), rtol=1e-12)


def test_slowdown_in_float32_is_a_root_to_its_precision(logits):
    p, q = (torch.as_tensor(distributions.from_logits(part)) for part in logits)
    rho = slowdown(p.float(), q.float(), 4).double()
    beta = (p / rho).minimum(q).sum(-1, keepdim=True)
    assert float((1 - (1 - beta) ** 4 - rho * beta).abs().max()) < 5e-6


def test_optimal_acceptance_of_batched_scores_is_the_plan_s():
    """Frequency of accepted drafts beside the plan's value: five standard errors and more."""
    p, q = (distributions.from_logits(part[0]) for part in _smooth())
    generator = np.random.default_rng(3)
    n, k = 20_000, 3
    drafts = scheme("iid").sample(q, k, generator.random((n, k)))
    rule = BatchedOptimalIid(bins=256)
    hits, step = 0, 1000
    for start in range(0, n, step):
        laws = (DenseLaws(torch.as_tensor(a).expand(step, -1)) for a in (p, q))
        tape = torch.as_tensor(generator.random((step, k + 1)))
        part = rule(*laws, torch.as_tensor(drafts[start : start + step]), tape)
        hits += int((part.slot < k).sum())
    value = grouped_plan(p, q, k, bins=256).value
    assert abs(hits / n - value) < 4.9 * (value * (1 - value) / n) ** 0.5  # false alarm 1e-6


@pytest.mark.parametrize("k", [1, 4])
def test_bins_filled_in_torch_are_those_of_the_kernel(k, logits):
    """What a GPU does, beside the one pass that a CPU takes; its masses are whole multiples."""
    p, q = (torch.as_tensor(distributions.from_logits(part)) for part in logits)
    shift, base, _ = layout(k, 256)
    bin_of, masses = binned(p, q, shift, base, 256)
    found = ratio_bins(p, q, shift, base, 256)
    assert torch.equal(found, bin_of.long())
    np.testing.assert_allclose(histogram(p, q, found, 256).numpy(), masses, rtol=0, atol=1e-14)


def test_an_empty_residual_draws_from_the_target():
    law = torch.tensor([[0.5, 0.5, 0.0]]).double()
    empty = torch.zeros(1, 3).double()
    assert int(draw(or_target(empty, law), torch.tensor([0.7]).double())) == 1


def test_bad_calls_are_refused():
    rule = batched_rule("rejection")
    laws = DenseLaws(torch.full((2, 4), 0.25).double())
    one = DenseLaws(torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2).double())
    drafts, tape = torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 2).double()
    with pytest.raises(VocabularyMismatch):
        rule(laws, DenseLaws(torch.full((2, 5), 0.2).double()), drafts, tape)
    with pytest.raises(ShapeError, match="expected"):
        rule(laws, laws[:1], drafts, tape)
    with pytest.raises(ShapeError, match="uniforms"):
        rule(laws, laws, drafts, tape[:, :1])
    with pytest.raises(SchemeMismatch, match="k from 1 to 1"):
        rule(laws, laws, drafts.expand(2, 2), torch.zeros(2, 3).double())
    with pytest.raises(ImpossibleDraft, match="outside"):
        rule(laws, laws, drafts + 4, tape)
    with pytest.raises(ImpossibleDraft, match="holds a token twice"):
        batched_rule("greedy_optimal")(laws, laws, drafts.expand(2, 2), torch.zeros(2, 3).double())
    with pytest.raises(ImpossibleDraft, match="probability 0"):
        rule(laws, one, drafts + 1, tape)
    for bad in (float("nan"), -0.25):
        wrong = DenseLaws(laws.law.clone())
        wrong.law[1, 0] = bad
        with pytest.raises(DistributionError, match="`target` is negative or NaN"):
            rule(wrong, laws, drafts, tape)


def _smooth():
    generator = np.random.default_rng(11)
    target = generator.normal(size=(40, 700)).astype(np.float32) * 2
    return target, target + generator.normal(size=target.shape).astype(np.float32) * 1.5


COMPILED = [(rule, k) for rule, k in CASES if getattr(rule, "kernel", lambda: None)() is not None]


@pytest.mark.parametrize(("rule", "k"), COMPILED, ids=lambda v: getattr(v, "key", str(v)))
def test_compiled_rules_draw_what_their_ladders_draw(rule, k, monkeypatch):
    """On rows of several tiles, some of which leave nothing."""
    rng, generator = torch.Generator().manual_seed(0), np.random.default_rng(0)
    p, q = torch.rand(2, 400, 1500, generator=rng, dtype=torch.float64).pow(8)
    q[::4] = p[::4]  # nothing is left where the drafts fail, which they never do
    p[1::4, :1490] = 0
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    kind = scheme_of(rule)
    tape = generator.random((400, kind.tape_length(k)))
    drafts = torch.as_tensor(kind.sample(q.numpy(), k, tape))
    given = DenseLaws(p), DenseLaws(q), drafts, torch.as_tensor(generator.random((400, k + 1)))
    found = rule(*given)
    monkeypatch.setattr(type(rule), "kernel", lambda _: None)
    expected = rule(*given)
    for one, other in zip(found, expected, strict=True):
        assert one.tolist() == other.tolist()
    assert 0 < int((found.slot == k).sum()) < 400


def test_four_rules_and_their_relatives_are_compiled():
    keys = {"rejection", "k_seq", "greedy_optimal", "recursive", "recursive_without_replacement"}
    assert {rule.key for rule, _ in COMPILED} == keys
