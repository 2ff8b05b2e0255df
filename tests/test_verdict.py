"""Verdict: law, acceptances and tape agree with the ladder written out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory.verdict import Verdict, inverse_transform

HALF, THIRD = Fraction(1, 2), Fraction(1, 3)
RESIDUAL = np.array([Fraction(0), Fraction(1, 4), Fraction(3, 4)], dtype=object)


@pytest.fixture
def verdict():
    return Verdict(np.array([0, 1]), np.array([HALF, THIRD], dtype=object), RESIDUAL)


def test_law_is_the_ladder_written_out(verdict):
    assert list(verdict.masses()) == [HALF, HALF * THIRD, THIRD]
    assert list(verdict.law()) == [HALF, Fraction(1, 6) + Fraction(1, 12), Fraction(1, 4)]


def test_both_acceptances(verdict):
    assert verdict.ladder() == Fraction(2, 3)
    assert verdict.acceptance() == Fraction(2, 3) + THIRD * Fraction(1, 4)  # residual hits token 1


def test_a_repeated_draft_counts_once():
    verdict = Verdict(np.array([1, 1]), np.array([HALF, HALF], dtype=object), RESIDUAL)
    assert verdict.acceptance() == Fraction(3, 4) + Fraction(1, 4) * Fraction(1, 4)


def test_masses_and_from_masses_are_inverse(verdict):
    again = Verdict.from_masses(verdict.drafts, verdict.masses()[:-1], verdict.residual)
    assert list(again.accept) == list(verdict.accept)


@pytest.mark.parametrize(
    ("tape", "token", "slot"),
    [
        ((0.0, 0.0, 0.0), 0, 0),
        ((0.5, 0.0, 0.0), 1, 1),  # strictly below: 0.5 fails against 1/2
        ((0.9, 0.9, 0.1), 1, 2),
        ((0.9, 0.9, 0.25), 2, 2),
        ((0.9, 0.9, 0.999999), 2, 2),
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_tape(verdict, tape, token, slot, exact):
    if exact:
        tape = np.array([Fraction(u) for u in tape], dtype=object)
    else:
        verdict = Verdict(
            verdict.drafts, verdict.accept.astype(float), verdict.residual.astype(float)
        )
        tape = np.array(tape)
    draw = verdict.sample(tape)
    assert (int(draw.token), int(draw.slot)) == (token, slot)


def test_a_uniform_of_zero_never_accepts_a_draft_of_probability_zero():
    verdict = Verdict(np.array([0]), np.array([0.0]), np.array([0.0, 1.0]))
    assert int(verdict.sample(np.array([0.0, 0.0])).token) == 1


def test_inverse_transform_never_returns_a_token_of_mass_zero():
    rng = np.random.default_rng(0)
    law = rng.random((2000, 50)) * (rng.random((2000, 50)) < 0.2)
    law[:, 3] += 1e-300
    for uniforms in (np.zeros(2000), np.full(2000, np.nextafter(1, 0)), rng.random(2000)):
        tokens = inverse_transform(law, uniforms)
        assert np.all(np.take_along_axis(law, tokens[:, None], axis=1) > 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_row_by_itself_is_drawn_from_as_in_a_batch(dtype):
    """A search of the one row finds what comparing every entry of the batch does."""
    rng = np.random.default_rng(1)
    law = (rng.random((500, 70)) * (rng.random((500, 70)) < 0.3)).astype(dtype)
    law[:, 40:] *= dtype(1e-20)  # adds nothing to the running sum
    law[:, 5] = 0.25
    exact = np.cumsum(law, axis=-1)  # tapes that hit the edges of intervals
    tapes = [np.zeros(500), np.full(500, np.nextafter(1, 0)), rng.random(500)]
    tapes += [exact[:, x].astype(float) / exact[:, -1] for x in (5, 20, 39, 60)]
    tape = np.minimum(np.stack(tapes, axis=-1), np.nextafter(1, 0))
    batch = np.stack([inverse_transform(law, tape[:, i]) for i in range(tape.shape[1])], axis=-1)
    alone = np.stack(
        [inverse_transform(row, uniforms) for row, uniforms in zip(law, tape, strict=True)]
    )
    assert (alone == batch).all()
