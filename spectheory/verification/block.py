"""Block verification: one decision for a whole block of draft tokens, optimal for a single path.

Not a token-level rule, so not a `VerificationRule`: it decides how many tokens of a drafted path
are kept. Functions take the laws along the path.
"""

from __future__ import annotations

from typing import NamedTuple

from spectheory.arrays import Array, capped_ratio, namespace, pick, positive_part, ratio, total
from spectheory.distributions import normalise


class BlockVerdict(NamedTuple):
    """What block verification does with a drafted path of L tokens.

    Attributes:
        kept: ``(..., L + 1)`` probability that exactly 0, 1, .., L tokens are kept.
        correction: ``(..., L + 1, V)`` law of the token that follows the kept ones.
    """

    kept: Array
    correction: Array


def block_verification(target: Array, draft: Array, path: Array) -> BlockVerdict:
    """Keep the longest prefix whose test succeeds, tests being drawn for every prefix.

    With ``w_0 = 1``, ``w_i = min(1, w_{i-1} p_i(x_i) / q_i(x_i))``, the prefix of length i < L
    succeeds with probability ``h_i = Z_i / (Z_i + 1 - w_i)``, ``Z_i = sum_x (w_i p_{i+1} -
    q_{i+1})_+``, and the whole path with ``h_L = w_L``. The token after a kept prefix of length
    i < L is drawn from ``(w_i p_{i+1} - q_{i+1})_+``, after the whole path from the target.

    Args:
        target: ``(..., L + 1, V)`` target laws after 0, 1, .., L tokens of the path.
        draft: ``(..., L, V)`` draft laws after 0, .., L - 1 tokens.
        path: ``(..., L)`` drafted tokens.

    Reference: sun2025block, Algorithm 2.

    >>> import numpy as np
    >>> p, q = np.array([[0.3, 0.7], [0.5, 0.5]]), np.array([[0.6, 0.4]])
    >>> block_verification(p, q, np.array([0])).kept.tolist()  # L = 1 is rejection
    [0.5, 0.5]
    """
    xp = namespace(target, draft)
    length = path.shape[-1]
    weight = target[..., 0, :1] * 0 + 1
    succeed, correction = [], []
    for i in range(length):
        left = positive_part(weight * target[..., i, :] - draft[..., i, :])
        mass = total(left)
        miss = mass + 1 - weight
        succeed.append(xp.where(miss > 0, ratio(mass, miss), weight))
        correction.append(normalise(left, fallback=target[..., i, :]))
        token = path[..., i]
        numerator = weight * pick(target[..., i, :], token)[..., None]
        weight = capped_ratio(numerator, pick(draft[..., i, :], token)[..., None])
    correction.append(target[..., length, :])
    kept = [weight]
    reach = 1 - weight
    for i in range(length - 1, 0, -1):
        kept.append(reach * succeed[i])
        reach = reach * (1 - succeed[i])
    kept.append(reach)
    return BlockVerdict(
        xp.concat(kept[::-1], axis=-1),
        xp.stack(correction, axis=-2),
    )
