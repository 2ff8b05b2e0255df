"""The certified value of i.i.d. drafts, against brute force over subsets."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from spectheory.errors import DistributionError, InputError, VocabularyMismatch
from spectheory.transport.iid_value import iid_optimum
from spectheory.transport.subset_dual import optimal_value


def brute_force(target, draft, k):
    """1 + min over every subset of p(H) - q(H)^k, on Fractions of the floats."""
    p, q = ([Fraction(x) for x in law] for law in (target, draft))
    p, q = ([x / sum(law) for x in law] for law in (p, q))
    size = len(p)
    return float(
        1
        + min(
            sum(p[x] for x in subset) - sum((q[x] for x in subset), Fraction(0)) ** k
            for count in range(size + 1)
            for subset in combinations(range(size), count)
        )
    )


def normalised(*values):
    law = np.array(values, dtype=float)
    return law / law.sum()


RAMP = np.arange(1.0, 7) ** 3 - np.arange(0.0, 6) ** 3
BY_HAND = {
    "three tokens": (normalised(0.3, 0.4, 0.3), normalised(0.6, 0.3, 0.1), 2, 0.89),
    "equal": (normalised(0.6, 0.4), normalised(0.6, 0.4), 3, 1.0),
    "disjoint": (np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5]), 2, 0.0),
    "one-hot target": (np.array([0, 1.0]), normalised(0.5, 0.5), 2, 0.75),
    "one-hot draft": (normalised(0.5, 0.3, 0.2), np.array([0, 1.0, 0]), 4, 0.3),
    "one-hot both": (np.array([0, 1.0]), np.array([0, 1.0]), 2, 1.0),
    "one draft": (normalised(0.3, 0.4, 0.3), normalised(0.6, 0.3, 0.1), 1, 0.7),
    "one token": (np.array([1.0]), np.array([1.0]), 5, 1.0),
    "ramp": (normalised(*RAMP), np.full(6, 1 / 6), 3, 1.0),
    "many drafts": (normalised(5, 3, 2, 0), normalised(1, 0, 2, 1), 1000, 0.7),
    "cap above all but rounding": (
        np.array([1.24e-18, 0.0350755654, 0.9649244346]),
        np.array([0.00555197458, 1 - 0.00555197458, 0.0]),
        1,
        0.0350755654,
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_known_values(case):
    target, draft, k, expected = BY_HAND[case]
    optimum = iid_optimum(target, draft, k)
    assert optimum.value == pytest.approx(expected, abs=1e-12)
    assert abs(optimum.gap) < 1e-12
    assert 0 <= optimum.cap <= k


def test_random_instances_match_every_subset():
    rng = np.random.default_rng(1)
    for n in range(400):
        size, k = int(rng.integers(1, 7)), int(rng.integers(1, 6))
        target, draft = rng.dirichlet(np.full(size, rng.choice([0.03, 0.5, 3])), 2)
        if n % 3 == 0:  # ties and zeros
            target, draft = np.round(target * 6), np.round(draft * 6)
            target[0] += 1
            draft[-1] += 1
        if n % 5 == 0:  # a floor of tiny atoms
            target, draft = np.maximum(target, 1e-12), np.maximum(draft, 1e-12)
        target, draft = normalised(*target), normalised(*draft)
        optimum = iid_optimum(target, draft, k)
        assert optimum.value == pytest.approx(brute_force(target, draft, k), abs=1e-13)
        assert abs(optimum.gap) < 1e-13
        inside = optimum.witness_set(target, draft)
        dual = 1 + target[inside].sum() - draft[inside].sum() ** k
        assert dual == pytest.approx(optimum.value, abs=1e-13)


def test_many_local_minima():
    """Staircase ratios: the objective has a local minimum at most steps."""
    rng = np.random.default_rng(2)
    draft = np.full(3_000, 1 / 3_000)
    ranks = np.arange(3_001) / 3_000
    curve = ranks**4 - 0.02 * (1 + np.sin(40 * np.pi * ranks)) * ranks**2 * (1 - ranks)
    target = np.sort(np.maximum(np.diff(curve), 0))
    for spread in (0.0, 1e-3, 0.3):
        law = normalised(*(target * np.exp(spread * rng.normal(size=3_000))))
        optimum = iid_optimum(law, draft, 4)
        assert optimum.value == pytest.approx(float(optimal_value(law, draft, 4)), abs=1e-12)
        assert abs(optimum.gap) < 1e-12


@pytest.mark.parametrize("noise", [0.0, 1e-15, 1e-6, 1e-2])
@pytest.mark.parametrize("k", [1, 2, 8])
def test_flat_objective(noise, k):
    """p = q, and the law whose objective is 0 at every prefix: all bins tie, all are refined."""
    rng = np.random.default_rng(4)
    draft = normalised(*rng.dirichlet(np.full(20_000, 0.3)))
    ranks = np.append(0, np.cumsum(draft))
    flat = np.maximum(np.diff(ranks**k), 0)
    for law in (draft, flat):
        target = normalised(*(law * np.exp(noise * rng.normal(size=20_000))))
        optimum = iid_optimum(target, draft, k)
        assert optimum.value == pytest.approx(float(optimal_value(target, draft, k)), abs=1e-12)
        assert abs(optimum.gap) < 1e-12


def logits(size, sigma, seed):
    rng = np.random.default_rng(seed)
    target = -1.6 * np.log(np.arange(size) + 3.0) + rng.normal(size=size)
    draft = target + sigma * rng.normal(size=size)
    return (normalised(*np.exp(law - law.max())) for law in (target, draft))


@pytest.mark.parametrize("k", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 2.0])
def test_certified_at_full_vocabulary(k, sigma):
    target, draft = logits(128_256, sigma, seed=k)
    optimum = iid_optimum(target, draft, k)
    assert abs(optimum.gap) <= 1e-10
    order = np.argsort(target / draft)
    covered, proposed = (
        np.cumsum(law[order].astype(np.longdouble)) / law.astype(np.longdouble).sum()
        for law in (target, draft)
    )
    assert optimum.value == pytest.approx(
        float(1 + min(0, np.min(covered - proposed**k))), abs=1e-13
    )


def test_tails_keep_their_digits():
    """A loss of 1e-15 is resolved: 1 - alpha* is a difference of tails, not of numbers near 1."""
    target = np.array([1 - 3e-15, 3e-15])
    draft = np.array([1 - 1e-15, 1e-15])
    exact = 3e-15 - (1 - math.prod([1 - 1e-15] * 2))
    assert float(iid_optimum(target, draft, 2).floor ** 2) == pytest.approx(exact, rel=0.2)


def test_batches_and_precisions():
    rng = np.random.default_rng(3)
    target, draft = rng.dirichlet(np.ones(50), (2, 3)), rng.dirichlet(np.ones(50), (3,))
    batch = iid_optimum(target, draft, 3)
    assert batch.value.shape == batch.cap.shape == (2, 3)
    for at in np.ndindex(2, 3):
        assert batch.value[at] == iid_optimum(target[at], draft[at[1]], 3).value
    assert batch.witness_set(target, draft).shape == (2, 3, 50)
    single = iid_optimum(target.astype(np.float32), draft.astype(np.float32), 3)
    assert np.abs(single.value - batch.value).max() < 1e-6


def test_refusals():
    law = np.array([0.5, 0.5])
    with pytest.raises(InputError, match="`k` is 0"):
        iid_optimum(law, law, 0)
    with pytest.raises(DistributionError, match=r"`draft` sums to 0\.93"):
        iid_optimum(law, np.array([0.5, 0.43]), 2)
    with pytest.raises(DistributionError, match="`target` has a negative entry"):
        iid_optimum(np.array([1.5, -0.5]), law, 2)
    with pytest.raises(DistributionError, match="NaN"):
        iid_optimum(law, np.array([0.5, np.nan]), 2)
    with pytest.raises(VocabularyMismatch):
        iid_optimum(law, np.ones(3) / 3, 2)
    with pytest.raises(InputError, match="optimal_value"):
        iid_optimum(np.array([Fraction(1, 2)] * 2), np.array([Fraction(1, 2)] * 2), 2)
    with pytest.raises(DistributionError, match="float16"):
        iid_optimum(law.astype(np.float16), law, 2)


def test_the_witness_of_laws_in_float32():
    """Two ratios in one bin: 42/40 divides to less in float32 than in float64."""
    target = np.array([150, 8, 42, 824], np.float32) / 1024
    draft = np.array([509, 8, 40, 467], np.float32) / 1024
    optimum = iid_optimum(target, draft, 2)
    inside = optimum.witness_set(target, draft)
    bound = 1 + target[inside].sum(dtype=float) - draft[inside].sum(dtype=float) ** 2
    assert bound == pytest.approx(optimum.value, abs=1e-12)
    assert inside.tolist() == [True, True, False, False]
