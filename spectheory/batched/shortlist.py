"""Verification on the few tokens that a truncated target keeps, on CPU.

Of a token that the target never emits, a rule for drawn drafts asks no more than whether it was
drafted. So all such tokens but the drafted ones are pooled into one, which changes no decision
and leaves a vocabulary of a few dozen where there were a hundred thousand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spectheory.batched.laws import DenseLaws


class Shortlist(NamedTuple):
    """B requests on m places each; places past a request's own have no mass.

    Attributes:
        target, draft: over the m places.
        drafts: ``(B, k)`` places.
        tokens: ``(B, m)`` the token at each place, ascending where the target has mass.
    """

    target: DenseLaws
    draft: DenseLaws
    drafts: Tensor
    tokens: Tensor


def shortlist(target: DenseLaws, draft: DenseLaws, drafts: Tensor) -> Shortlist | None:
    """The kept tokens, the drafted ones, and one for all others; None where nothing is cut.

    Args:
        target, draft: ``(B, V)`` float64 on CPU.
        drafts: ``(B, k)``.

    >>> from spectheory.batched.laws import greedy
    >>> draft = DenseLaws(torch.tensor([[0.25, 0.25, 0.5]]).double())
    >>> few = shortlist(greedy(torch.tensor([[0.0, 2.0, 1.0]])), draft, torch.tensor([[1]]))
    >>> few.draft.dense().tolist(), few.tokens.tolist()
    ([[0.25, 0.75, 0.0]], [[1, 0, 0]])
    """
    if target.kept is None:
        return None
    from spectheory.kernels.shortlist import shorten

    lengths = [len(tokens) for tokens in target.kept]
    shape = len(lengths), max(lengths) + drafts.shape[-1] + 1
    tokens, places = np.zeros(shape, np.int64), np.empty(drafts.shape, np.int64)
    laws = np.zeros(shape), np.zeros(shape)
    shorten(
        target.law.numpy(),
        draft.law.numpy(),
        np.concatenate(target.kept),
        np.cumsum([0, *lengths]),
        drafts.numpy(),
        tokens,
        *laws,
        places,
    )
    short_target, short_draft = (DenseLaws(torch.from_numpy(law)) for law in laws)
    return Shortlist(short_target, short_draft, torch.from_numpy(places), torch.from_numpy(tokens))
