"""The grouped plan: exactly lossless at any number of bins, with an honest bound on its loss."""

from itertools import product

import numpy as np
import pytest

from spectheory.errors import InputError
from spectheory.kernels.score_draws import upper_share
from spectheory.transport.grouped_plan import grouped_plan
from spectheory.transport.iid_value import iid_optimum


def law(*values):
    values = np.array(values, dtype=float)
    return values / values.sum()


def cases():
    yield law(0.3, 0.4, 0.3), law(0.6, 0.3, 0.1), 2
    yield law(0.3, 0.4, 0.3), law(0.6, 0.3, 0.1), 1
    yield law(5, 3, 2), law(5, 3, 2), 3
    yield law(1, 1, 0, 0), law(0, 0, 2, 1), 2
    yield law(0, 1, 0), law(1, 1, 1), 3
    yield law(5, 3, 2), law(0, 1, 0), 3
    yield law(1), law(1), 4
    yield law(0.5, 0.5, 1e-18, 1e-22), law(0.7, 1e-20, 0.3, 1e-17), 2
    rng = np.random.default_rng(5)
    for n in range(60):
        size, k = int(rng.integers(2, 6)), int(rng.integers(1, 5))
        target, draft = rng.dirichlet(np.full(size, rng.choice([0.05, 0.5, 3])), 2)
        if n % 3 == 0:
            target, draft = np.maximum(target, 1e-12), np.maximum(draft, 1e-12)
        if n % 4 == 0:
            target, draft = np.round(target * 5) + (target == target.max()), np.round(draft * 5)
            draft[-1] += 1
        yield law(*target), law(*draft), k


CASES = list(cases())


@pytest.mark.parametrize("bins", [32, 64, 2048])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_enumerated_law(case, bins):
    target, draft, k = CASES[case]
    plan = grouped_plan(target, draft, k, bins)
    tuples = np.array(list(product(np.flatnonzero(draft > 0), repeat=k)))
    probability = np.prod(draft[tuples], axis=1)
    verdict = plan.verdict(tuples)
    assert np.abs(probability @ verdict.law() - target).max() < 1e-12
    assert probability @ verdict.ladder() == pytest.approx(plan.value, abs=1e-12)
    optimum = float(iid_optimum(target, draft, k).value)
    assert plan.value <= optimum + 1e-14
    assert optimum <= plan.value + plan.loss_bound + 1e-14


def logits(size, sigma, seed):
    rng = np.random.default_rng(seed)
    target = -1.6 * np.log(np.arange(size) + 3.0) + rng.normal(size=size)
    draft = target + sigma * rng.normal(size=size)
    return (law(*np.exp(values - values.max())) for values in (target, draft))


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_full_vocabulary(k):
    """The output law from the pieces, with the true law of a score; and a loss of second order."""
    target, draft = logits(128_256, 0.7, seed=k)
    losses = []
    for bins in (512, 2048, 8192):
        plan = grouped_plan(target, draft, k, bins)
        losses.append(plan.loss_bound)
        pieces = plan.pieces
        groups = len(pieces.start) - 1
        ratio = target / draft
        below, above = pieces.below[pieces.bin_of], pieces.above[pieces.bin_of]
        share = np.array(
            [
                upper_share(r, b, pieces.edges)
                for r, b in zip(ratio, pieces.bin_of.astype(int), strict=True)
            ]
        )
        share[below == above] = 0
        mass = np.bincount(below, weights=draft * (1 - share), minlength=groups)
        mass += np.bincount(above, weights=draft * share, minlength=groups)
        owner = np.repeat(np.arange(groups), np.diff(pieces.start))
        order = np.argsort(pieces.low, kind="stable")
        low, high, owner = pieces.low[order], pieces.high[order], owner[order]
        assert np.array_equal(np.append(low, 1.0), np.append(0.0, high))
        density = (mass / pieces.length)[owner]
        after = np.cumsum(density * (high - low))
        assert np.abs(after - high).max() < 1e-12
        cut = np.clip(pieces.floor[owner], low, high)
        chord = sum(cut**i * high ** (k - 1 - i) for i in range(k))
        mean = np.bincount(owner, weights=chord * (high - cut), minlength=groups) / pieces.length
        accepted = draft * ((1 - share) * mean[below] + share * mean[above])
        output = accepted + (1 - accepted.sum()) * plan.residual
        assert np.abs(output - target).max() < 1e-12
        assert accepted.sum() == pytest.approx(plan.value, abs=1e-12)
    assert losses[1] < 1e-5
    assert losses[2] < 1e-6


def test_samples_have_the_accepted_masses():
    """Slot and token frequencies within 6 standard errors (false alarm below 1e-6 in all)."""
    target, draft = law(5, 3, 1, 1, 4, 0.5), law(2, 4, 3, 1, 1, 2)
    plan = grouped_plan(target, draft, 3, 64)
    rng = np.random.default_rng(1)
    runs = 200_000
    drafts = rng.choice(6, size=(runs, 3), p=draft)
    drawn = plan.sample(drafts, rng.random((runs, 4)))
    output = np.bincount(drawn.token, minlength=6) / runs
    assert np.all(np.abs(output - target) < 6 * np.sqrt(target * (1 - target) / runs))
    accepted = np.bincount(drawn.token[drawn.slot < 3], minlength=6) / runs
    assert np.all(np.abs(accepted - plan.accepted_mass) < 6 * np.sqrt(output / runs))


@pytest.mark.parametrize("bins", [0, 33, 96, 65536])
def test_refuses_other_numbers_of_bins(bins):
    with pytest.raises(InputError, match="`bins`"):
        grouped_plan(law(1, 1), law(1, 2), 2, bins)
