"""Betting: fair under the null by enumeration, looked at after every draw, continued exactly."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import binom

from spectheory.audit.martingale import BETS, TestMartingale
from spectheory.errors import InputError, ShapeError

LAW = np.array([0.5, 0.3, 0.2])
SCORES = np.array([[0.4, -0.6, -0.1], [-0.3, 0.5, 0.0]]).T  # (V, tests), mean 0 under LAW


def test_wealth_is_fair_over_all_sequences_even_where_scores_depend_on_the_past():
    """Mean wealth over all 3^7 sequences is 1: the score of a draw turns with the draw before."""
    expected = 0.0
    for sequence in itertools.product(range(3), repeat=7):
        sides = [1, *(1 if token == 0 else -1 for token in sequence[:-1])]
        martingale = TestMartingale(["a", "b"])
        martingale.update(
            np.array([side * SCORES[x] for side, x in zip(sides, sequence, strict=True)])
        )
        expected += LAW[list(sequence)].prod() * math.exp(martingale.log_mean)
    assert expected == pytest.approx(1.0, abs=1e-12)


def test_wealth_is_the_product_of_one_plus_bet_times_score():
    scores = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    martingale = TestMartingale(["a", "b"])
    path = martingale.update(scores)
    logs = np.log1p(BETS[:, None, None] * scores).cumsum(axis=1)  # (bets, n, tests)
    wanted = np.log(np.exp(logs).mean(axis=(0, 2)))
    np.testing.assert_allclose(path, wanted, rtol=0, atol=1e-10)
    assert martingale.log_mean_peak == pytest.approx(max(0, wanted.max()), abs=1e-10)
    by_test = np.log(np.exp(logs).mean(axis=0))
    np.testing.assert_allclose(martingale.log_e, by_test[-1], atol=1e-10)
    np.testing.assert_allclose(martingale.log_peak, np.maximum(by_test.max(axis=0), 0), atol=1e-10)


def test_evidence_that_came_and_went_within_one_update_is_kept():
    scores = np.concatenate([np.full(40, 0.9), np.tile([-0.9, 0.9], 200)])
    martingale = TestMartingale(["a"])
    path = martingale.update(scores)
    assert martingale.peaked_at == int(path.argmax()) + 1 == 40
    assert martingale.p_bound == pytest.approx(math.exp(-path[39]))


def test_pieces_change_nothing_but_rounding_and_a_state_changes_nothing():
    scores = np.random.default_rng(1).uniform(-1, 1, (1_000, 3))
    whole, pieces = TestMartingale(list("abc")), TestMartingale(list("abc"))
    whole.update(scores)
    for piece in np.split(scores, [1, 7, 300, 301]):
        pieces.update(piece)
        pieces = TestMartingale.from_state(json.loads(json.dumps(pieces.state())))
    np.testing.assert_allclose(whole.log_e, pieces.log_e, atol=1e-9)
    assert whole.log_mean_peak == pytest.approx(pieces.log_mean_peak, abs=1e-9)
    assert whole.draws == pieces.draws == 1_000


def test_false_alarms_and_a_score_that_is_not_centred():
    """1,000 fair runs at 0.05, the count off by chance once in 1e6; a mean of 0.1 is seen."""
    rng = np.random.default_rng(2)
    runs, alpha = 1_000, 0.05
    fair, biased = 0, 0
    for _ in range(runs):
        scores = rng.choice([-0.5, 1.0], 1_000, p=[2 / 3, 1 / 3])
        for shift in (0.0, 0.1):
            martingale = TestMartingale(["a"])
            martingale.update(np.minimum(scores + shift, 1.0))
            fair += shift == 0 and martingale.p_bound <= alpha
            biased += shift > 0 and martingale.p_bound <= alpha
    assert fair <= binom.ppf(1 - 1e-6, runs, alpha)
    assert biased >= 0.5 * runs


def test_no_underflow_over_a_long_losing_run():
    martingale = TestMartingale(["a"], np.array([0.5]))
    for _ in range(10):
        martingale.update(np.full(10_000, -1.0))
    assert martingale.log_mean == pytest.approx(100_000 * math.log(0.5), rel=1e-12)


@pytest.mark.parametrize(
    ("scores", "error", "words"),
    [
        (np.array([0.0, 1.1]), InputError, "1.1"),
        (np.array([np.nan]), InputError, "nan"),
        (np.zeros((5, 2)), ShapeError, r"\(n, 1\)"),
    ],
)
def test_bad_scores_are_refused(scores, error, words):
    with pytest.raises(error, match=words):
        TestMartingale(["a"]).update(scores)


def test_a_bet_of_everything_is_refused():
    with pytest.raises(InputError, match="lose everything"):
        TestMartingale(["a"], np.array([0.5, 1.0]))
