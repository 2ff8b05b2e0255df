"""The score-kernel plan: exactly lossless, optimal, and sampled as its verdict says."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.stats import chi2

from spectheory.errors import ImpossibleDraft, InputError, ShapeError
from spectheory.transport.score_kernel import score_kernel_plan

FALSE_ALARM = 1e-6


def law(*values):
    values = np.array(values, dtype=float)
    return values / values.sum()


def ramp(size, k):
    """Target i^k - (i-1)^k, draft uniform: output the largest index, acceptance 1."""
    steps = np.arange(size + 1.0) ** k
    return law(*np.diff(steps)), np.full(size, 1 / size), k


def small_cases():
    yield "three tokens", law(0.3, 0.4, 0.3), law(0.6, 0.3, 0.1), 2
    yield "one draft", law(0.3, 0.4, 0.3), law(0.6, 0.3, 0.1), 1
    yield "equal", law(5, 3, 2), law(5, 3, 2), 3
    yield "equal, one draft", law(5, 3, 2), law(5, 3, 2), 1
    yield "disjoint", law(1, 1, 0, 0), law(0, 0, 2, 1), 2
    yield "one-hot target", law(0, 1, 0), law(1, 1, 1), 3
    yield "one-hot draft", law(5, 3, 2), law(0, 1, 0), 3
    yield "one-hot both", law(0, 1), law(0, 1), 2
    yield "one token", law(1), law(1), 4
    yield "ties", law(2, 2, 1, 1, 4), law(4, 4, 2, 2, 1), 3
    yield "zeros on both sides", law(3, 0, 2, 1), law(1, 2, 0, 4), 3
    yield "many drafts, few tokens", law(3, 2, 1), law(1, 1, 2), 6
    yield "floored draft", law(0.5, 0.3, 0.2, 1e-12), law(1e-12, 0.6, 1e-12, 0.4), 3
    yield "floored target", law(1e-12, 1e-12, 0.3, 0.7), law(0.4, 0.2, 0.2, 0.2), 3
    yield "peaked", law(1 - 3e-12, 1e-12, 1e-12, 1e-12), law(0.97, 0.01, 0.01, 0.01), 4
    yield "atoms below rounding", law(0.5, 0.5, 1e-18, 1e-22), law(0.7, 1e-20, 0.3, 1e-17), 2
    yield "light atom first", law(1e-25, 0.4, 0.6), law(1e-20, 0.6, 0.4), 2
    yield "light ladder", law(*(4.0 ** -np.arange(7))), law(*(30.0 ** -np.arange(7)[::-1])), 2
    yield "ramp 2", *ramp(5, 2)
    yield "ramp 4", *ramp(4, 4)
    rng = np.random.default_rng(7)
    for n in range(60):
        size, k = int(rng.integers(2, 7)), int(rng.integers(1, 5))
        size = min(size, 5) if k == 4 else size
        target, draft = rng.dirichlet(np.full(size, rng.choice([0.05, 0.5, 3])), 2)
        if n % 4 == 0:
            target, draft = np.round(target * 5), np.round(draft * 5)
            target[0] += 1
            draft[-1] += 1
        if n % 3 == 0:
            target, draft = np.maximum(target, 1e-12), np.maximum(draft, 1e-12)
        yield f"random {n}", law(*target), law(*draft), k


SMALL = {name: case for name, *case in small_cases()}


def possible_tuples(draft, k):
    tuples = np.array(list(product(np.flatnonzero(draft > 0), repeat=k)))
    return tuples, np.prod(draft[tuples], axis=1)


def transport_optimum(target, draft, k):
    """The transport linear program over draft sets: most flow from sets to their members."""
    tuples, probability = possible_tuples(draft, k)
    mass_of = {}
    for drafts, mass in zip(tuples, probability, strict=True):
        key = tuple(sorted(set(drafts.tolist())))
        mass_of[key] = mass_of.get(key, 0.0) + mass
    arcs = [(i, x) for i, members in enumerate(mass_of) for x in members]
    rows = [i for i, _ in arcs] + [len(mass_of) + x for _, x in arcs]
    columns = [*range(len(arcs)), *range(len(arcs))]
    limits = np.concatenate([list(mass_of.values()), target])
    shape = (len(mass_of) + len(target), len(arcs))
    matrix = coo_array((np.ones(len(rows)), (rows, columns)), shape=shape)
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(
        -np.ones(len(arcs)), A_ub=matrix.tocsr(), b_ub=limits, method="highs", options=tight
    )
    assert found.status == 0
    return -found.fun


@pytest.mark.parametrize("name", SMALL)
def test_enumerated_law_and_acceptance(name):
    target, draft, k = SMALL[name]
    plan = score_kernel_plan(target, draft, k)
    tuples, probability = possible_tuples(draft, k)
    verdict = plan.verdict(tuples)
    assert np.abs(probability @ verdict.law() - target).max() < 1e-12
    optimum = transport_optimum(target, draft, k)
    assert plan.value == pytest.approx(optimum, abs=1e-9)
    assert probability @ verdict.ladder() == pytest.approx(optimum, abs=1e-9)
    assert plan.loss_bound < 1e-11
    assert plan.accepted_mass.min() >= 0
    assert np.all(plan.accepted_mass <= target * (1 + 1e-15))


def test_slots_are_exchangeable():
    """The slot law does not depend on the order of the drafts; equal tokens share it equally."""
    target, draft, k = SMALL["random 5"][0], SMALL["random 5"][1], 3
    plan = score_kernel_plan(target, draft, k)
    drafts = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    masses = plan.verdict(drafts).masses()
    assert np.allclose(masses[0, [0, 1, 2]], masses[1, [1, 0, 2]], atol=1e-14)
    assert np.allclose(masses[0, [0, 1, 2]], masses[2, [2, 1, 0]], atol=1e-14)
    assert masses[0, 1] == pytest.approx(masses[0, 2], abs=1e-14)


def chi_square_exceeds(counts, law):
    expected = law * counts.sum()
    kept = expected >= 5
    rest = counts[~kept].sum(), expected[~kept].sum()
    statistic = np.sum((counts[kept] - expected[kept]) ** 2 / expected[kept])
    cells = int(kept.sum())
    if rest[1] > 5:
        statistic, cells = statistic + (rest[0] - rest[1]) ** 2 / rest[1], cells + 1
    return cells > 1 and statistic > chi2.isf(FALSE_ALARM, cells - 1)


@pytest.mark.parametrize("name", ["three tokens", "ties", "random 1", "random 9", "peaked"])
def test_samples_follow_the_verdict(name):
    """Chi-square of (slot, token) counts against the verdict, false alarm 1e-6 a tuple."""
    target, draft, k = SMALL[name]
    plan = score_kernel_plan(target, draft, k)
    rng = np.random.default_rng(11)
    tuples, _ = possible_tuples(draft, k)
    for drafts in tuples[rng.choice(len(tuples), size=min(6, len(tuples)), replace=False)]:
        verdict = plan.verdict(drafts)
        runs = 40_000
        drawn = plan.sample(np.broadcast_to(drafts, (runs, k)), rng.random((runs, k + 1)))
        assert np.all(drawn.token[drawn.slot < k] == drafts[drawn.slot[drawn.slot < k]])
        assert not chi_square_exceeds(np.bincount(drawn.slot, minlength=k + 1), verdict.masses())
        counts = np.bincount(drawn.token, minlength=len(target))
        assert not chi_square_exceeds(counts, verdict.law())


def logits(size, sigma, seed, noise=1.0):
    rng = np.random.default_rng(seed)
    target = -1.6 * np.log(np.arange(size) + 3.0) + noise * rng.normal(size=size)
    draft = target + sigma * rng.normal(size=size)
    return (law(*np.exp(values - values.max())) for values in (target, draft))


def exact_marginal(plan):
    """Law of the output and acceptance, from the pieces alone and with the true law of a score.

    A random draft's score has the density (draft mass of the owner) / (length of its pieces), which
    is 1 but for rounding; nothing else of the construction is assumed.
    """
    pieces, k = plan.pieces, plan.k
    groups = len(pieces.start) - 1
    mass = np.bincount(
        pieces.bin_of[plan.draft > 0], weights=plan.draft[plan.draft > 0], minlength=groups
    )
    owner = np.repeat(np.arange(groups), np.diff(pieces.start))
    order = np.argsort(pieces.low, kind="stable")
    low, high, owner = pieces.low[order], pieces.high[order], owner[order]
    assert low[0] == 0
    assert high[-1] == 1
    assert np.array_equal(high[:-1], low[1:])  # the pieces tile [0, 1]
    length = np.bincount(owner, weights=high - low)
    density = mass[owner] / length[owner]
    after = np.cumsum(density * (high - low))
    below = after - density * (high - low)
    assert np.abs(after - high).max() < 1e-13
    cut = np.clip(pieces.floor[owner], low, high)
    below = below + density * (cut - low)
    chord = sum(below**i * after ** (k - 1 - i) for i in range(k))
    mean = np.bincount(owner, weights=chord * (high - cut) / length[owner], minlength=groups)
    accepted = np.where(plan.draft > 0, plan.draft * mean[pieces.bin_of], 0.0)
    return accepted + (1 - accepted.sum()) * plan.residual, accepted.sum()


@pytest.mark.parametrize("k", [1, 2, 4, 8])
@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_exact_marginal_at_full_vocabulary(k, sigma):
    target, draft = logits(128_256, sigma, seed=k)
    plan = score_kernel_plan(target, draft, k)
    output, acceptance = exact_marginal(plan)
    assert np.abs(output - target).max() < 1e-12
    assert np.abs(output - target).sum() < 1e-10
    assert acceptance == pytest.approx(plan.value, abs=1e-12)
    assert plan.loss_bound < 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_peaked_and_floored_laws(seed):
    """Atoms of 1e-12 and entropies near 0: each piece must be able to start left of any hole."""
    rng = np.random.default_rng(seed)
    size, k = int(rng.integers(2, 400)), int(rng.integers(1, 9))
    target, draft = rng.dirichlet(np.full(size, rng.choice([0.002, 0.02, 0.3])), 2)
    if seed % 2:
        target = np.round(target, 3) + 1e-9 * rng.random(size)
    floors = rng.choice([1e-12, 1e-15, 1e-9], size=2)
    target, draft = law(*np.maximum(target, floors[0])), law(*np.maximum(draft, floors[1]))
    plan = score_kernel_plan(target, draft, k)
    output, _ = exact_marginal(plan)
    assert np.abs(output - target).max() < 1e-12
    assert plan.loss_bound < 1e-11


def test_many_drafts():
    target, draft = logits(500, 1.0, seed=3)
    for k in (33, 200, 5_000):
        plan = score_kernel_plan(target, draft, k)
        assert plan.loss_bound < 1e-9
        assert plan.verdict(np.full(k, 7)).masses().sum() == pytest.approx(1)


def test_refusals():
    target, draft = law(1, 1, 2), law(1, 2, 0)
    plan = score_kernel_plan(target, draft, 2)
    with pytest.raises(ImpossibleDraft, match="probability 0"):
        plan.verdict(np.array([0, 2]))
    with pytest.raises(ImpossibleDraft, match="0 to 2"):
        plan.sample(np.array([0, 3]), np.zeros(3))
    with pytest.raises(ShapeError, match="`drafts`"):
        plan.verdict(np.array([0, 1, 1]))
    with pytest.raises(ShapeError, match="`uniforms`"):
        plan.sample(np.array([0, 1]), np.zeros(2))
    with pytest.raises(ShapeError, match="one position"):
        score_kernel_plan(np.stack([target, target]), np.stack([draft, draft]), 2)
    with pytest.raises(InputError, match="`k`"):
        score_kernel_plan(target, draft, 0)
