"""Shared noise: rejection between conditional laws is lossless, and accepts no more than 1 - TV.

Statement: let xi be noise with one law under both models, and p_xi, q_xi their conditional laws of
the output. Draw xi, draft from q_xi, accept by the ratio p_xi / q_xi and redraw from the residual
of the *same* xi: the output law is the mixture ``E p_xi``, and the acceptance
``E[1 - TV(p_xi, q_xi)]`` is at most ``1 - TV(E p_xi, E q_xi)``. With the residual of a fresh xi
the output law is another.

Assumptions: two values of the noise with any weights, V = 2; all
conditional laws, zeros and ties included. The densities of continuous models are the limit.

Machine-checked: both claims for all laws and weights on the library's `Rejection` and `overlap`,
region by region; for the refutation, an exact counterexample.

Argued: that more values of the noise add terms of the same form.

Reference: wang2024continuous for the alignment of the noise.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from proofs import Checked
from proofs._cover import Quantity
from proofs._laws import for_all_laws, simplex
from spectheory.distributions import overlap
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule

SIZE = 2


def output_law(
    rule: VerificationRule, p: np.ndarray, q: np.ndarray, weights: np.ndarray, fresh: bool = False
) -> np.ndarray:
    """``(V,)`` law of the output; p and q are ``(noise, V)``."""
    size = p.shape[-1]
    tokens = np.arange(size)[:, None]
    law = p[0] * 0
    for n, weight in enumerate(weights):
        verdict = rule._verdict(p[n][None], q[n][None], tokens)
        accepted = q[n] * verdict.accept[:, 0]
        residuals = [
            rule._verdict(p[m][None], q[m][None], tokens).residual[0] for m in range(len(weights))
        ]
        residual = weights @ np.stack(residuals) if fresh else residuals[n]
        law = law + weight * (accepted + (1 - sum(accepted)) * residual)
    return law


def verify(rule: VerificationRule | None = None) -> Checked:
    """Check the statement for rejection, or for a rule that claims to be it."""
    rule = rule or Rejection()

    def statement(*arguments: object) -> None:
        laws, weight = arguments[:4], arguments[4]
        p, q, weights = np.stack(laws[:2]), np.stack(laws[2:]), simplex([weight])  # type: ignore
        law, target, draft = output_law(rule, p, q, weights), weights @ p, weights @ q
        for token in range(SIZE):
            assert law[token] == target[token], f"output law differs at token {token}"
        assert weights @ overlap(p, q) <= overlap(target, draft), "accepts more than 1 - TV"

    def a_weight(*arguments: object) -> list[Quantity]:
        return [arguments[-1], 1 - arguments[-1]]  # type: ignore[list-item, operator]

    regions = for_all_laws(SIZE, statement, 4, extra=("w",), within=a_weight)
    p, q = (
        np.array([[Fraction(n, 10), Fraction(10 - n, 10)] for n in row], dtype=object)
        for row in ((9, 2), (4, 3))
    )
    half = np.array([Fraction(1, 2)] * 2, dtype=object)
    fresh = output_law(rule, p, q, half, fresh=True)
    assert not np.array_equal(fresh, half @ p), "a fresh residual is lossless too"
    return Checked(
        f"two noises, V = {SIZE}: all laws and weights; a fresh residual is refuted",
        f"{regions} regions run, z3: no other; exact counterexample",
    )
