"""What rules accept on digits: token by token on the target's own images, or over whole runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectheory.continuous.path_rule import PathRule
from spectheory.digits.data import TOKENS
from spectheory.digits.diffusion_chain import Sampler
from spectheory.errors import InputError


def token_acceptance(
    target: Sampler,
    draft: Sampler,
    tokens: np.ndarray,
    labels: np.ndarray,
    rules: Sequence[PathRule],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """``(n,)`` acceptance probability of each rule, averaged over an image's 16 positions.

    A draft is made at every position of the given images and tested there. What is averaged is
    ``min(1, ratio)``, not the accepted share, which has the same mean and a larger variance; for
    `StepwiseReflection`, whose steps are tested one by one, it is the accepted share.

    Args:
        target: model that tests.
        draft: model that proposes.
        tokens: ``(n, 16, 4)`` images to condition on.
        labels: ``(n,)``.
        rules: path rules.
        rng: of all randomness.
    """
    rows, positions = everywhere(len(labels))
    above = target.chain(tokens, labels, rows, positions)
    under = draft.chain(tokens, labels, rows, positions)
    found = {}
    for rule in rules:
        path = rule.propose(under, len(rows), rng)
        seen = rule.examine(above, under, path, rng)
        chance = seen.accepted if rule.equal_scales else np.exp(np.minimum(0.0, seen.log_ratio))
        found[rule.key] = chance.reshape(-1, TOKENS).mean(axis=1)
    return found


def token_distances(
    target: Sampler,
    draft: Sampler,
    tokens: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """``(n,)`` mean distances ``|x_0^p - x_0^q|``: on shared noise, and on independent noise."""
    rows, positions = everywhere(len(labels))
    above = target.chain(tokens, labels, rows, positions)
    under = draft.chain(tokens, labels, rows, positions)
    shared, other = (under.tape(len(rows), rng) for _ in range(2))
    drafted = under.run(shared)[:, 0]
    aligned, apart = (
        np.linalg.norm(above.run(noise)[:, 0] - drafted, axis=1).reshape(-1, TOKENS).mean(axis=1)
        for noise in (shared, other)
    )
    return aligned, apart


def evidence_gap(
    target: Sampler,
    draft: Sampler,
    tokens: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """``(n,)``: how much better the target explains each image than the draft does, in nats.

    The difference of the two variational bounds on the image's log density, one noise a step:
    ``sum_t (|m_t^q - m_t|^2 - |m_t^p - m_t|^2) / (2 s_t^2)`` over steps and tokens, m_t the mean of
    the forward process's posterior. Images that lean towards the draft have less of it, so its law
    tells two sets of images apart where their pixels' moments hardly do.

    Raises:
        InputError: target and draft are sampled with different parameters.

    Reference: nichol2021improved.
    """
    if target.sampling != draft.sampling:
        raise InputError("`target` and `draft` have other sampling parameters; their bounds differ")
    rows, positions = everywhere(len(labels))
    chains = [one.chain(tokens, labels, rows, positions) for one in (target, draft)]
    schedule, clean = chains[0].schedule, tokens[rows, positions]
    gap = np.zeros(len(rows))
    for t in range(1, chains[0].steps + 1):
        signal = schedule.signal[t]
        noise = rng.standard_normal(clean.shape)
        noisy = np.sqrt(signal) * clean + np.sqrt(1 - signal) * noise
        mean = schedule.clean_weight[t] * clean + schedule.state_weight[t] * noisy
        p, q = (((one.kernel(t, noisy).mean - mean) ** 2).sum(axis=1) for one in chains)
        gap += (q - p) / (2 * (schedule.scale[t] * target.sampling.temperature) ** 2)
    return np.asarray(gap.reshape(-1, TOKENS).sum(axis=1))


def everywhere(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and position of every token of n images, ``(16 n,)`` each.

    >>> rows, positions = everywhere(2)
    >>> int(rows[16]), int(positions[17])
    (1, 1)
    """
    return np.repeat(np.arange(n), TOKENS), np.tile(np.arange(TOKENS), n)


def share_interval(
    accepted: np.ndarray, tested: np.ndarray, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """``sum(accepted) / sum(tested)`` with the ends of its bootstrap interval over images.

    Images, not tokens, are resampled: tokens of one image are not independent.

    >>> share_interval(np.array([3, 3]), np.array([4, 4]), 100, seed=0)
    (0.75, 0.75, 0.75)
    """
    n = len(tested)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    shares = (counts @ accepted) / np.maximum(1, counts @ tested)
    low, high = np.quantile(shares, [(1 - level) / 2, (1 + level) / 2])
    return float(accepted.sum() / max(1, tested.sum())), float(low), float(high)
