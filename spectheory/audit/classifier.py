"""Classifier two-sample test: can a classifier tell the draws of two samplers apart?"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import beta, binom

from spectheory.audit.discrepancy import POWER, Discrepancy, check_alpha, check_sample
from spectheory.errors import InputError, MissingDependency, ShapeError


def audit_classifier(
    samples: Any,
    reference: Any,
    alpha: float = 1e-6,
    *,
    classifier: Any = None,
    seed: int = 0,
) -> Discrepancy:
    """Train a classifier on half of the draws; on the other half, count pairs it puts right.

    Held-out draws go in pairs, one of each sampler. Under equality each is as likely to score
    higher, whatever the classifier has learnt, so the count over pairs without a tie is exactly
    binomial(m, 1/2): the test is exact in any dimension and at any size.

    Args:
        samples: ``(n, d)`` or ``(n,)`` independent draws of the sampler.
        reference: ``(n', d)`` independent draws of the target.
        alpha: false-alarm rate.
        classifier: anything with scikit-learn's ``fit`` and ``predict_proba``; gradient-boosted
            trees if not given.
        seed: of the split, and of the trees.

    Returns:
        The finding; its distance is ``2 P(right) - 1`` among pairs without a tie, which is what
        this classifier sees and no bound on what another might.

    Raises:
        ShapeError, InputError: bad samples, or samples of different dimensions.
        MissingDependency: no classifier given, and scikit-learn is not installed.

    Reference: lopezpaz2017revisiting.

    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 10_000, 3))
    >>> audit_classifier(x, y, classifier=LogisticRegression()).biased
    False
    >>> audit_classifier(x + 0.1, y, classifier=LogisticRegression()).biased
    True
    """
    check_alpha(alpha)
    x, y = check_sample("samples", samples), check_sample("reference", reference)
    if x.shape[1] != y.shape[1]:
        raise ShapeError(
            f"`samples` has {x.shape[1]} coordinates and `reference` {y.shape[1]}; expected draws "
            "in one space"
        )
    rng = np.random.default_rng(seed)
    pairs = min(len(x), len(y))
    x, y = (z[rng.permutation(len(z))[:pairs]] for z in (x, y))
    half = pairs // 2
    model = _boosted_trees(seed) if classifier is None else classifier
    model.fit(np.concatenate([x[:half], y[:half]]), np.repeat([1, 0], half))
    scores = [model.predict_proba(z[half:])[:, 1] for z in (x, y)]
    right, ties = int((scores[0] > scores[1]).sum()), int((scores[0] == scores[1]).sum())
    return sign_test("classifier", right, pairs - half - ties, (pairs, pairs), alpha)


def sign_test(
    test: str, right: int, trials: int, draws: tuple[int, ...], alpha: float
) -> Discrepancy:
    """Exact one-sided binomial test that ``right`` of ``trials`` fair coins came up heads.

    The distance is ``2 right / trials - 1``.

    Raises:
        InputError: no trial at all (every pair was a tie).

    >>> found = sign_test("coins", 60, 100, (100,), 0.05)
    >>> round(found.p_bound, 6)  # P(Binomial(100, 1/2) >= 60)
    0.028444
    """
    if trials < 1:
        raise InputError(f"{test}: every pair was a tie, so there is nothing to count")
    critical = binom.isf(alpha, trials, 0.5) + 1  # rejected from here on
    return Discrepancy(
        test=test,
        distance=2 * right / trials - 1,
        unit="advantage",
        p_bound=float(binom.sf(right - 1, trials, 0.5)),
        calibration="exact",
        draws=draws,
        alpha=alpha,
        # The chance at which `critical` or more heads come with probability POWER.
        smallest=float(2 * beta.ppf(POWER, critical, trials - critical + 1) - 1)
        if critical <= trials
        else None,
        upper=float(2 * beta.ppf(1 - alpha, right + 1, trials - right) - 1)
        if right < trials
        else 1.0,
    )


def _boosted_trees(seed: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingDependency(
            f"`{error.name}` is not installed; the default classifier needs "
            "`pip install scikit-learn`"
        ) from error
    return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=16, random_state=seed)
