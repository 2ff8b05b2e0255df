"""Two engines: permutation and sequential tests hold their rate and see what differs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom

from spectheory.audit.discrepancy import embedding_radius
from spectheory.audit.string_kernels import hamming, spectrum
from spectheory.audit.two_sample import audit_texts, permuted
from spectheory.audit.two_sample_sequential import (
    SequentialTwoSample,
    mixture_radius,
    pairs_to_see,
)
from spectheory.errors import InputError, ShapeError, TooLarge, UnknownName

RNG = np.random.default_rng(0)
START = RNG.dirichlet(np.full(6, 0.7))
TABLE = RNG.dirichlet(np.full(6, 0.5), 6)
NOISE = RNG.dirichlet(np.full(6, 0.5), 6)


def chain(table: np.ndarray, n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """``(n, length)`` texts of a Markov chain."""
    steps = np.cumsum(table, axis=1)
    texts = [rng.choice(len(table), n, p=START)]
    for _ in range(length - 1):
        below = (steps[texts[-1]] < rng.random((n, 1))).sum(axis=1)
        texts.append(np.minimum(below, len(table) - 1))
    return np.stack(texts, axis=1)


def test_permutations_are_all_labellings():
    """Seven texts in two prompts: the permuted statistics are the enumerated ones, as often."""
    groups = np.array([0, 1, 0, 1, 0, 1, 0])
    weights = np.array([0.5, 0.5, 0.5, -1 / 3, -1 / 4, 0.5, -1 / 4])
    texts = np.random.default_rng(1).integers(0, 3, (7, 4))
    matrix = hamming(texts) * (groups[:, None] == groups)
    expected = []
    for first in combinations([0, 2, 4, 6], 2):
        for second in combinations([1, 3, 5], 2):
            labels = np.where(groups == 0, -1 / 4, -1 / 3)
            labels[[*first, *second]] = 0.5
            expected.append(labels @ matrix @ labels)
    found = permuted(matrix, weights, groups, 18_000, np.random.default_rng(2))
    values, counts = np.unique(np.round(found, 9), return_counts=True)
    wanted, often = np.unique(np.round(expected, 9), return_counts=True)
    np.testing.assert_allclose(values, wanted)
    # 18 labellings, 18,000 permutations: each count within 5.5 standard deviations.
    assert (np.abs(counts - 1_000 * often) <= 5.5 * np.sqrt(1_000 * often)).all()


@pytest.mark.parametrize("name", ["hamming", "spectrum"])
def test_permutation_false_alarms_with_unequal_prompts(name):
    """300 runs at 5 %; this test alarms falsely with probability 1e-6."""
    rng, alarms = np.random.default_rng(3), 0
    for run in range(300):
        prompts = np.sort(rng.integers(0, 3, 60)), np.sort(rng.integers(0, 3, 40))
        x, y = ((3 * p[:, None] + rng.integers(0, 4, (p.size, 5))) for p in prompts)
        alarms += audit_texts(
            x, y, 0.05, string_kernel=name, prompts=prompts, permutations=99, seed=run
        ).biased
    assert alarms <= binom.isf(1e-6, 300, 0.05)


def test_prompts_in_another_mixture_are_no_difference():
    rng = np.random.default_rng(4)
    prompts = np.repeat([0, 1], [300, 100]), np.repeat([0, 1], [100, 300])
    x, y = (10 * p[:, None] + rng.integers(0, 4, (p.size, 5)) for p in prompts)
    assert audit_texts(x, y).biased  # without knowing the prompts
    assert not audit_texts(x, y, prompts=prompts).biased


@pytest.mark.parametrize("name", ["hamming", "spectrum"])
def test_a_quarter_of_another_model_is_seen_and_itself_is_not(name):
    rng = np.random.default_rng(5)
    x, y = (chain(TABLE, 800, 6, rng) for _ in "xy")
    mixed = chain(0.75 * TABLE + 0.25 * NOISE, 800, 6, rng)
    assert not audit_texts(x, y, string_kernel=name).biased
    found = audit_texts(mixed, y, string_kernel=name)
    assert found.biased
    assert found.p_bound <= 1e-3


def test_the_smallest_distance_is_seen():
    """Two laws on one token: the discrepancy is known, and so is what is seen 99 times in 100."""
    rng, seen = np.random.default_rng(6), 0
    y = rng.integers(0, 2, (300, 1))
    smallest = audit_texts(rng.integers(0, 2, (300, 1)), y, 0.01, permutations=499).smallest
    # With one position of two values, MMD^2 = 2 (1 - exp(-4)) (p - q)^2.
    shift = smallest / np.sqrt(2 * (1 - np.exp(-4.0)))
    for run in range(30):
        x = (rng.random((300, 1)) < 0.5 + shift).astype(int)
        y = rng.integers(0, 2, (300, 1))
        seen += audit_texts(x, y, 0.01, permutations=499, seed=run).biased
    assert seen >= 25  # at 0.99 each, fewer has probability below 1e-6


def test_engines_that_always_write_the_same_text_are_not_biased():
    """Every permutation ties with the observation, which is 0 but for its rounding: p = 1."""
    for n, m in ((500, 500), (333, 77)):
        found = audit_texts(np.full((n, 3), 4), np.full((m, 3), 4), permutations=999)
        assert found.p_bound == 1
        assert found.distance < 1e-6
    apart = audit_texts(np.full((9, 3), 4), np.full((9, 3), 5), permutations=999)
    assert apart.p_bound == pytest.approx(1e-3)  # 2 of 48,620 labellings reach it


@pytest.mark.parametrize(("n", "m"), [(12, 400), (400, 12), (60, 60)])
def test_the_bound_covers_a_known_distance_at_unequal_sizes(n, m):
    """Coins against one side for ever: MMD^2 = 2 (1 - exp(-4)) / 4.

    60 runs at 1 %: more misses, or more failures to see it where it is said to be seen, have
    probability below 1e-6.
    """
    true, rng = np.sqrt((1 - np.exp(-4.0)) / 2), np.random.default_rng(9)
    missed = unseen = 0
    for run in range(60):
        x, y = rng.integers(0, 2, (n, 1)), np.zeros((m, 1), int)
        if n > m:
            x, y = np.zeros((n, 1), int), rng.integers(0, 2, (m, 1))
        found = audit_texts(x, y, 0.01, permutations=99, seed=run)
        missed += found.upper < true
        unseen += found.smallest is not None and found.smallest <= true and not found.biased
    assert missed <= binom.isf(1e-6, 60, 0.01)
    assert unseen <= binom.isf(1e-6, 60, 0.01)
    assert found.upper < true + 2 * embedding_radius((n, m), 2.0, 0.01)


def test_the_radius_holds_the_whole_law_of_the_error():
    """Two coins of n and m tosses enumerated: the chance to leave the radius, against its rate."""
    n, m, heads = 7, 40, 0.3
    gap = np.abs(np.arange(n + 1)[:, None] / n - np.arange(m + 1) / m - (heads - 0.5))
    mass = binom.pmf(np.arange(n + 1), n, heads)[:, None] * binom.pmf(np.arange(m + 1), m, 0.5)
    squared = 2 * (1 - np.exp(-4.0))  # of the distance between the features of the two sides
    for alpha in (0.5, 0.1, 1e-3, 1e-6):
        left = mass[gap * np.sqrt(squared) > embedding_radius((n, m), squared, alpha)].sum()
        assert left <= alpha


def test_spectrum_counts_pieces():
    texts = np.array([[0, 1, 0, 1], [1, 0, 1, -1], [2, 2, -1, -1]])

    def bag(text: np.ndarray) -> dict[tuple[int, ...], int]:
        kept = [int(t) for t in text if t >= 0]
        found: dict[tuple[int, ...], int] = {}
        for size in (1, 2, 3):
            for i in range(len(kept) - size + 1):
                piece = tuple(kept[i : i + size])
                found[piece] = found.get(piece, 0) + 1
        return found

    bags = [bag(t) for t in texts]
    gram = np.array([[sum(a[k] * b.get(k, 0) for k in a) for b in bags] for a in bags], float)
    norm = np.sqrt(np.diag(gram))
    np.testing.assert_allclose(spectrum(texts), gram / norm / norm[:, None])


def test_sequential_false_alarms_at_every_look():
    """150 runs of 300 pairs, stopped at any pair: at most alpha, with false alarm 1e-6."""
    rng, alarms = np.random.default_rng(7), 0
    for _ in range(150):
        audit = SequentialTwoSample(alpha=0.05)
        audit.update(*(chain(TABLE, 300, 4, rng) for _ in "xy"))
        alarms += audit.report().biased
    assert alarms <= binom.isf(1e-6, 150, 0.05)


def test_sequential_sees_a_bias_and_about_when_it_said():
    rng = np.random.default_rng(8)
    audit = SequentialTwoSample(alpha=1e-6)
    audit.update(*(chain(TABLE, 20_000, 6, rng) for _ in "xy"))
    assert not audit.report().biased
    biased = SequentialTwoSample(alpha=1e-6)
    table = 0.9 * TABLE + 0.1 * NOISE
    biased.update(chain(table, 20_000, 6, rng), chain(TABLE, 20_000, 6, rng))
    found = biased.report()
    assert found.biased
    # Scores lie in (-1, 1) with a root mean square near one half. Learning comes on top.
    plan = pairs_to_see(found.distance, 0.5, 1e-6)
    assert 0.3 * plan < found_at(table, rng) < 4 * plan


def found_at(table: np.ndarray, rng: np.random.Generator) -> int:
    audit = SequentialTwoSample(alpha=1e-6)
    while not audit.report().biased:
        audit.update(chain(table, 500, 6, rng), chain(TABLE, 500, 6, rng))
    return audit.pairs


def test_nothing_is_seen_before_the_first_bet():
    for pairs in (0, 20, 32):
        audit = SequentialTwoSample()
        if pairs:
            audit.update(np.zeros((pairs, 2), int), np.ones((pairs, 2), int))
        found = audit.report()
        assert found.smallest is None
        assert found.upper <= 1


def test_swapping_the_engines_and_cutting_the_pairs_changes_nothing():
    rng = np.random.default_rng(9)
    x, y = chain(TABLE, 3_000, 5, rng), chain(0.7 * TABLE + 0.3 * NOISE, 3_000, 5, rng)
    whole, swapped, cut = (SequentialTwoSample() for _ in range(3))
    whole.update(x, y)
    swapped.update(y, x)
    for first in range(0, 3_000, 700):
        cut.update(x[first : first + 700], y[first : first + 700])
    np.testing.assert_allclose(whole.martingale.log_e, swapped.martingale.log_e)
    np.testing.assert_allclose(whole.martingale.log_e, cut.martingale.log_e)


def test_the_radius_holds_at_every_look():
    """2,000 runs of fair coins, looked at 300 times: misses at most alpha, to 1e-6."""
    rng = np.random.default_rng(10)
    means = rng.choice([-1.0, 1.0], (2_000, 3_000)).cumsum(axis=1) / np.arange(1, 3_001)
    radii = np.array([mixture_radius(n, 0.05, 500) for n in range(1, 3_001)])
    misses = int((np.abs(means) > radii).any(axis=1).sum())
    assert misses <= binom.isf(1e-6, 2_000, 0.05)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: audit_texts(np.zeros((4, 2, 2), int), np.zeros((4, 2), int)), "a text a row"),
        (lambda: audit_texts(np.zeros((4, 2)), np.zeros((4, 2), int)), "integer token ids"),
        (lambda: audit_texts([[0, -1, 1]] * 2, [[0, 1, 1]] * 2), "after the padding"),
        (lambda: audit_texts([[0]] * 4, [[1]] * 4, alpha=1e-9), "1000000000 permutations"),
        (lambda: audit_texts([[0]] * 7_000, [[1]] * 7_000), "SequentialTwoSample"),
        (lambda: audit_texts([[0]], [[1]], string_kernel="levenshtein"), "no string kernel"),
        (
            lambda: audit_texts([[0]], [[1]], 0.5, string_kernel=lambda t: 2 * t @ t.T + 1),
            "diagonal",
        ),
        (lambda: audit_texts([[0]] * 2, [[1]] * 2, prompts=([0, 1], [0])), "prompt of each text"),
        (lambda: audit_texts([[0]] * 2, [[1]] * 2, prompts=([0, 1], [2, 3])), "none in common"),
        (lambda: SequentialTwoSample().update([[0]] * 2, [[0]] * 3), "expected pairs"),
        (lambda: pairs_to_see(0.0, 1.0), "mean score"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((InputError, ShapeError, TooLarge, UnknownName), match=words):
        call()
