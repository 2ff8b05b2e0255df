"""Each loss against a closed form and finite differences."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spectheory.decoding.distil_losses import (  # noqa: E402
    LOSSES,
    acceptance,
    kl,
    policy_gradient,
    reverse_kl,
    total_variation,
    tvd_plus_plus,
)

EXACT = [kl, reverse_kl, total_variation]


def laws(positions=5, size=7, mass=1.0, seed=0):
    """Target log-probabilities of total mass ``mass``, draft logits, both float64."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(size), positions) * mass
    z = rng.normal(size=(positions, size))
    return torch.from_numpy(np.log(p)), torch.from_numpy(z).requires_grad_()


def by_hand(name, p, q):
    """The divergence of two arrays of probabilities, written out."""
    each = {
        "kl": p * np.log(p / q),
        "reverse_kl": q * np.log(q / p),
        "total_variation": np.maximum(q - p, 0),
    }
    return each[name].sum(axis=1).mean()


@pytest.mark.parametrize("mass", [1.0, 0.7])  # 0.7: the head is pruned
@pytest.mark.parametrize("loss", EXACT)
def test_value_and_gradient(loss, mass):
    target, draft = laws(mass=mass)
    p, z = target.exp().numpy(), draft.detach().numpy()

    def value(logits):
        weights = np.exp(logits)
        return by_hand(loss.__name__, p, weights / weights.sum(axis=1, keepdims=True))

    computed = loss(target, draft)
    assert computed.item() == pytest.approx(value(z), rel=1e-12)
    computed.backward()
    step = 1e-6
    for place in np.ndindex(z.shape):
        nudge = np.zeros_like(z)
        nudge[place] = step
        slope = (value(z + nudge) - value(z - nudge)) / (2 * step)
        assert draft.grad[place].item() == pytest.approx(slope, abs=1e-9)


def closed_form(target, draft):
    """Gradient of total variation, and the reward's standard deviation under the draft."""
    p, q = target.exp().numpy(), draft.detach().softmax(dim=-1).numpy()
    reward = (q < p).astype(float)
    mean = (q * reward).sum(axis=1, keepdims=True)
    gradient = -q * (reward - mean) / len(q)
    overall = mean.mean()
    return gradient, np.sqrt(overall * (1 - overall))


def test_total_variation_gradient_is_the_closed_form():
    target, draft = laws()
    total_variation(target, draft).backward()
    np.testing.assert_allclose(draft.grad, closed_form(target, draft)[0], atol=1e-14)


def test_policy_gradient_over_each_token_as_often_as_likely_is_total_variation_rescaled():
    counts = torch.tensor([[4, 2, 1, 1], [1, 1, 1, 5]])
    draft = (counts.double() / 8).log().requires_grad_()
    target = torch.tensor([[0.1, 0.6, 0.2, 0.1], [0.3, 0.05, 0.05, 0.6]]).double().log()
    tokens = torch.stack([torch.repeat_interleave(torch.arange(4), row) for row in counts])
    policy_gradient(target, draft, tokens).backward()
    gradient, scale = closed_form(target, draft)
    np.testing.assert_allclose(draft.grad, gradient / scale, atol=1e-14)


def test_policy_gradient_needs_differing_rewards():
    target, draft = laws()
    loss = policy_gradient(target, draft, draft.detach().sub(target).argmax(dim=-1)[:, None])
    loss.backward()
    assert not draft.grad.any()


def test_tvd_plus_plus_draws_from_the_draft():
    """Monte Carlo: 40,000 x 16 draws; six standard errors, two-sided 2e-9 a coordinate."""
    target, draft = laws(positions=1)
    copies = 40_000
    many = draft.detach().expand(copies, -1).clone().requires_grad_()
    tvd_plus_plus(target.expand(copies, -1), many, torch.Generator().manual_seed(0)).backward()
    gradient, scale = closed_form(target, draft)
    each = many.grad.numpy() * copies
    error = each.std(axis=0) / np.sqrt(copies)
    # Negative control: without the division by the spread the same test fails.
    assert (np.abs(each.mean(axis=0) - gradient[0] / scale) < 6 * error).all()
    assert (np.abs(each.mean(axis=0) - gradient[0]) > 6 * error).any()


@pytest.mark.parametrize("name", LOSSES)
def test_descent_lowers_total_variation(name):
    target, draft = laws(positions=20)
    rng = torch.Generator().manual_seed(1)
    before = total_variation(target, draft).item()
    optimiser = torch.optim.Adam([draft], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        LOSSES[name](target, draft, rng).backward()
        optimiser.step()
    assert total_variation(target, draft).item() < 0.2 * before


def test_acceptance_of_a_pruned_head_counts_kept_tokens_only():
    full = torch.tensor([[0.5, 0.3, 0.2]]).double().log()
    kept = acceptance(full[:, :2], torch.tensor([[0.0, 0.0]]).double())
    assert kept.item() == pytest.approx(0.5 + 0.3)
