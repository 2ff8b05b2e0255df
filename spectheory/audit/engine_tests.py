"""What engines' own distribution tests would say: our imitations of four published criteria.

Each is written from the criterion that the test applies, with its sizes, and runs on any sampler:
a function that returns the tokens at each row of n independent single steps. None looks further
than one step, and none states a false-alarm rate or a bias that it can see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spectheory.distributions import from_logits
from spectheory.errors import InputError

Rows = tuple[np.ndarray, ...]
StepSampler = Callable[[np.ndarray, np.ndarray, int, int], Rows]
"""``sampler(target, draft, n, seed)``: tokens at row 0, 1, .. of n steps, later rows fewer."""


class EngineVerdict(NamedTuple):
    """What one imitation says.

    Attributes:
        test: key of the criterion.
        passes: whether the sampler would be let through.
        statistic: what was compared.
        limit: with what.
        draws: single steps drawn.
        size: vocabulary.
    """

    test: str
    passes: bool
    statistic: float
    limit: float
    draws: int
    size: int


def vllm_distance(sampler: StepSampler, seed: int, size: int = 10) -> EngineVerdict:
    """Distance to the target must improve 20 times more than distance to random laws.

    From 10 to 100,000 draws, the L2 distance between observed frequencies and the target falls by
    some factor; that to the mean of 100 random laws by another. The first must be above 20 times
    the second. Target, draft and references are softmaxes of uniform numbers over 10 tokens. Here
    the first tokens of steps are counted.

    Reference: https://github.com/vllm-project/vllm, tests/v1/sample/test_rejection_sampler.py.
    """
    rng = np.random.default_rng(seed)
    target, draft = (from_logits(rng.random(size)) for _ in "tq")
    others = from_logits(rng.random((100, size)))
    least, most = 10, 100_000
    ratios = []
    near = []
    for n in (least, most):
        seen = np.bincount(sampler(target, draft, n, seed + n)[0], minlength=size) / n
        near.append(np.linalg.norm(seen - target))
        ratios.append(np.linalg.norm(seen - others) / len(others))
    improvement = float(near[0] / near[1])
    limit = 20 * float(ratios[0] / ratios[1])
    return EngineVerdict("vllm_distance", improvement > limit, improvement, limit, most, size)


def vllm_wide(
    sampler: StepSampler, seed: int, size: int = 4096, draws: int = 40_960
) -> EngineVerdict:
    """Chi-square below ``df + 10 sqrt(2 df)`` at every row with 2,000 tokens or more.

    Cells with an expected count below 5 are pooled, and left out if still below. Target and draft
    are softmaxes of standard normal logits over 4,096 tokens.

    Reference: https://github.com/vllm-project/vllm,
    tests/v1/spec_decode/test_rejection_sampler_utils.py.
    """
    return _chi_square("vllm_wide", sampler, seed, size, draws)


def vllm_narrow(
    sampler: StepSampler, seed: int, size: int = 16, draws: int = 200_000
) -> EngineVerdict:
    """`vllm_wide` over 16 tokens with 200,000 steps, as for drafts from shared Gumbel noise.

    Reference: https://github.com/vllm-project/vllm/pull/54282
    """
    return _chi_square("vllm_narrow", sampler, seed, size, draws)


def _chi_square(name: str, sampler: StepSampler, seed: int, size: int, draws: int) -> EngineVerdict:
    rng = np.random.default_rng(seed)
    target, draft = (from_logits(rng.standard_normal(size)) for _ in "tq")
    worst = (-np.inf, 0.0, 1.0)
    for tokens in sampler(target, draft, draws, seed + 1):
        if tokens.size < 2_000:
            continue
        seen, expected = np.bincount(tokens, minlength=size), target * tokens.size
        often = expected >= 5
        counts = np.append(seen[often], seen[~often].sum())
        means = np.append(expected[often], expected[~often].sum())
        if means[-1] < 5:
            counts, means = counts[:-1], means[:-1]
        statistic = float(((counts - means) ** 2 / means).sum())
        df = counts.size - 1
        limit = df + 10 * float(np.sqrt(2 * df))
        worst = max(worst, (statistic - limit, statistic, limit))
    excess, statistic, limit = worst
    return EngineVerdict(name, excess < 0, statistic, limit, draws, size)


def flashinfer_cosine(
    sampler: StepSampler, seed: int, size: int = 32_000, draws: int = 5_000_000
) -> EngineVerdict:
    """Cosine similarity of observed frequencies and target above 0.99 at five million draws.

    The criterion for its plain, top-k and top-p samplers; the chain sampler has no test of its law.
    Laws are softmaxes of normal logits, of standard deviation 5 for the target here, with which a
    few tokens hold most of the mass; the draft's logits are off by a standard normal.

    Reference: https://github.com/flashinfer-ai/flashinfer, tests/utils/test_sampling.py.
    """
    rng = np.random.default_rng(seed)
    logits = 5 * rng.standard_normal(size)
    target, draft = from_logits(logits), from_logits(logits + rng.standard_normal(size))
    counts = np.zeros(size)
    share = 500_000
    for part in range(-(-draws // share)):
        n = min(share, draws - part * share)
        counts += np.bincount(sampler(target, draft, n, seed + 1 + part)[0], minlength=size)
    cosine = float(counts @ target / np.linalg.norm(counts) / np.linalg.norm(target))
    return EngineVerdict("flashinfer_cosine", cosine > 0.99, cosine, 0.99, draws, size)


def transformers_ordering(sampler: StepSampler, seed: int, size: int = 10) -> EngineVerdict:
    """More probable tokens must come up more often; how much more is not looked at.

    Three tokens hold nearly all of the mass, at ratios of e, as does the draft's law, in another
    order; the counts of 10,000 draws must be in the target's order. The statistic is the number of
    pairs in the wrong order.

    Reference: https://github.com/huggingface/transformers/pull/34553
    """
    logits = np.full(size, -10.0)
    logits[:3] = (2.0, 1.0, 0.0)
    drafted = np.full(size, -10.0)
    drafted[:3] = (1.0, 2.0, 0.0)
    draws = 10_000
    tokens = sampler(from_logits(logits), from_logits(drafted), draws, seed)[0]
    counts = np.bincount(tokens, minlength=size)[:3]
    wrong = int((counts[[0, 0, 1]] <= counts[[1, 2, 2]]).sum())
    return EngineVerdict("transformers_ordering", wrong == 0, float(wrong), 0.0, draws, size)


ENGINE_TESTS: dict[str, Callable[..., EngineVerdict]] = {
    test.__name__: test
    for test in (vllm_distance, vllm_wide, vllm_narrow, flashinfer_cosine, transformers_ordering)
}
"""By key, in the order of tables."""


def engine_verdict(test: str, sampler: StepSampler, seed: int, **options: int) -> EngineVerdict:
    """One imitation's verdict; ``size`` and ``draws`` replace its own where it takes them.

    Raises:
        InputError: no such test.

    >>> def right(target, draft, n, seed):
    ...     return (np.random.default_rng(seed).choice(target.size, n, p=target),)
    >>> engine_verdict("transformers_ordering", right, seed=0).passes
    True
    """
    if test not in ENGINE_TESTS:
        raise InputError(f"no engine test `{test}`; there are {', '.join(ENGINE_TESTS)}")
    return ENGINE_TESTS[test](sampler, seed, **options)
