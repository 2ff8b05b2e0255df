"""What a drafter is trained to make small: divergences of its law from the target's.

The target's law p comes as log-probabilities over the tokens the drafter knows, and the draft's
law q as logits over the same tokens. If the drafter knows all tokens, p sums to 1; if its head is
pruned, p sums to less, q puts nothing on the rest, and acceptance is still the sum of min(p, q).

Imports torch: load this module where a model is trained.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]
"""``(target, draft, generator) -> scalar``: ``(n, S)`` log-probabilities and logits."""

DRAWS = 16
"""Tokens drawn at each position for `tvd_plus_plus`."""


def acceptance(target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
    """``(n,)`` probability that one draft is accepted by rejection, the sum of min(p, q).

    Args:
        target: ``(n, S)`` log-probabilities of the tokens the drafter knows.
        draft: ``(n, S)`` logits.

    >>> p = torch.tensor([[0.5, 0.5]]).log()
    >>> acceptance(p, torch.tensor([[0.0, -torch.inf]])).tolist()
    [0.5]

    Reference: leviathan2023fast.
    """
    return torch.minimum(target, draft.log_softmax(dim=-1)).exp().sum(dim=-1)


def kl(
    target: torch.Tensor, draft: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Mean of KL(p || q) over the positions: the draft covers all that the target does.

    With a pruned head the sum goes over the tokens it has, which has the same gradient as the
    cross-entropy there.
    """
    return (target.exp() * (target - draft.log_softmax(dim=-1))).sum(dim=-1).mean()


def reverse_kl(
    target: torch.Tensor, draft: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Mean of KL(q || p) over the positions: the draft avoids what the target does not do."""
    log = draft.log_softmax(dim=-1)
    return (log.exp() * (log - target)).sum(dim=-1).mean()


def total_variation(
    target: torch.Tensor, draft: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Mean total variation, which is the probability of rejecting a draft.

    ``1 - sum_x min(p(x), q(x))``; its gradient in the logit of x is
    ``-q(x) (r(x) - sum_y q(y) r(y))`` with ``r(x) = 1[q(x) < p(x)]``.
    """
    return (1 - acceptance(target, draft)).mean()


def tvd_plus_plus(
    target: torch.Tensor, draft: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Total variation by policy gradient: `DRAWS` tokens a position, normalised rewards.

    See `policy_gradient`. The value is no divergence; only its gradient has a meaning.

    Reference: goel2024direct.
    """
    with torch.no_grad():
        ends = draft.softmax(dim=-1).cumsum(dim=-1)
        uniforms = torch.rand(len(draft), DRAWS, generator=generator).to(draft)
        tokens = torch.searchsorted(ends, uniforms * ends[:, -1:], right=True)
        tokens.clamp_(max=draft.shape[-1] - 1)
    return policy_gradient(target, draft, tokens)


def policy_gradient(
    target: torch.Tensor, draft: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """Surrogate whose gradient estimates that of total variation, divided by a scale.

    ``-mean A(x) log q(x)`` over tokens x drawn from q, where the advantage A is the reward
    ``r(x) = 1[q(x) < p(x)]`` minus its mean over the batch, divided by its standard deviation.
    In the mean over draws ``-r(x) grad log q(x)`` is the gradient of total variation; the mean
    taken off lowers the variance of the estimate, the division keeps its size as rewards get rare.

    Args:
        target: ``(n, S)`` log-probabilities.
        draft: ``(n, S)`` logits.
        tokens: ``(n, m)`` integers, drawn from the draft's law.

    Reference: goel2024direct.
    """
    logs = draft.log_softmax(dim=-1).gather(-1, tokens)
    reward = (logs.detach() < target.gather(-1, tokens)).to(draft.dtype)
    spread = reward.std(correction=0)
    # One reward for all draws says nothing about which to prefer.
    advantage = (reward - reward.mean()) / spread if spread > 0 else torch.zeros_like(reward)
    return -(advantage * logs).mean()


LOSSES: dict[str, Loss] = {
    "kl": kl,
    "reverse-kl": reverse_kl,
    "tv": total_variation,
    "tvd++": tvd_plus_plus,
}
"""By the names of the command line."""
