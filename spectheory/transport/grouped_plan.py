"""The score-kernel plan from a histogram: no sort, exactly lossless, with a stated loss.

Bins of the ratio r = p/q have edges e_0 < e_1 < ...; only the edges get pieces of the score axis. A
token with r between e_j and e_(j+1) draws its score from the law of the upper edge with probability
``(r - e_j) / (e_(j+1) - e_j)``, else of the lower one, which keeps its mean r. Splitting widens the
law of r a little, so the optimum over edges is below alpha*, by at most

    max over bins of  (draft mass) * (e_(j+1) - e_j) / 4,

and in fact only the bins around the minimiser of the dual count: the loss is of second order in the
bin width. What each token really gets goes into the residual, so the output law is the target's for
any number of bins.
"""

from __future__ import annotations

import numpy as np

from spectheory.arrays import Array
from spectheory.errors import InputError
from spectheory.transport.score_kernel import ScoreKernelPlan, assemble, one_position


def grouped_plan(target: Array, draft: Array, k: int, bins: int = 2048) -> ScoreKernelPlan:
    """A lossless plan for k i.i.d. drafts, set up in two passes over the vocabulary.

    Its `loss_bound` is the distance from its acceptance to an upper bound on alpha*, the dual at
    the best bin boundary; the acceptance given up is at most that.

    Args:
        target, draft: ``(V,)`` float64 or float32.
        k: number of drafts.
        bins: 32 times a power of 2, at most 32,768; they span 32 octaves of r up to k.

    Raises:
        InputError: another number of bins, or see `iid_optimum`.
        DistributionError, ShapeError, VocabularyMismatch: bad laws, or more than one position.

    >>> p, q = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    >>> plan = grouped_plan(p, q, 2)
    >>> plan.value, bool(plan.value + plan.loss_bound >= 0.89)
    (0.89, True)
    """
    from spectheory.kernels.ratio_histogram import OCTAVES, layout
    from spectheory.kernels.score_draws import Pieces
    from spectheory.kernels.score_groups import plan_bins

    finer, rest = divmod(bins, OCTAVES)
    if rest or finer < 1 or finer & (finer - 1) or finer > 1024:
        raise InputError(
            f"`bins` is {bins}; expected 32 times a power of 2 from 32 to 32768, such as 2048"
        )
    target, draft = one_position(target, draft, k)
    shift, base, edges = layout(int(k), bins)
    least, masses, bin_of, group, pieces = plan_bins(target, draft, int(k), shift, base, edges)
    above = np.append(group[1:], group[-1])  # the last bin, beyond k, uses its lower edge only
    return assemble(
        target, draft, k, 1 - least, masses, Pieces(bin_of, group, above, edges, *pieces)
    )
