"""Local resampling: where it is exact, its enumerated law otherwise, and samples against both."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from spectheory.audit.sequential import audit_law
from spectheory.decoding.fixed_length import ByContext
from spectheory.decoding.local_resample import local_decode, local_law, turns
from spectheory.decoding.tabular import TabularModel
from spectheory.errors import InputError, TooLarge
from spectheory.verification.rule import rule

ALPHA = 1e-6
REJECTION = rule("rejection")
SIZE, LENGTH = 2, 4


def models(order, exact=True):
    pair = [
        TabularModel.random(SIZE, order, np.random.default_rng(seed), resolution=5, exact=exact)
        for seed in (5, 6)
    ]
    return [ByContext(model.law, SIZE, LENGTH) for model in pair]


def target_law(model):
    law = {}
    for text in product(range(SIZE), repeat=LENGTH):
        laws = model.laws(np.array([text]), np.arange(1))[0]
        law[text] = np.prod([laws[i, t] for i, t in enumerate(text)])
    return law


def distance(law, other):
    return sum(abs(law.get(t, 0) - other.get(t, 0)) for t in law.keys() | other.keys()) / 2


def turns_by_loops(refused, radius, shape):
    """Flood fill, one image."""
    height, width = shape
    seeds = [(i // width, i % width) for i in range(len(refused)) if refused[i]]
    cells = list(product(range(height), range(width)))
    again = {
        c for c in cells if any(max(abs(c[0] - s[0]), abs(c[1] - s[1])) <= radius for s in seeds)
    }
    turn = dict.fromkeys(cells, 0)
    while again:
        island, edge = set(), {min(again)}
        while edge:
            island |= edge
            edge = {
                c for c in again - island
                if any(max(abs(c[0] - e[0]), abs(c[1] - e[1])) == 1 for e in edge)
            }  # fmt: skip
        for place, cell in enumerate(sorted(island)):
            turn[cell] = place + 1
        again -= island
    return [turn[c] for c in cells]


def test_turns_against_a_flood_fill():
    refused = np.random.default_rng(0).random((200, 20)) < 0.15
    for radius in (0, 1, 2):
        found = turns(refused, radius, (4, 5))
        wanted = [turns_by_loops(row, radius, (4, 5)) for row in refused.tolist()]
        assert found.tolist() == wanted


def test_exact_where_tokens_are_independent():
    target, draft = models(order=0)
    assert local_law(target, draft, REJECTION, (2, 2), 0) == target_law(target)


def test_exact_where_the_models_agree():
    target, _ = models(order=2)
    assert local_law(target, target, REJECTION, (2, 2), 1) == target_law(target)


def test_biased_on_a_chain_at_every_radius():
    target, draft = models(order=1)
    wanted = target_law(target)
    biases = []
    for radius in range(LENGTH):
        law = local_law(target, draft, REJECTION, (1, LENGTH), radius)
        assert sum(law.values()) == 1
        assert isinstance(next(iter(law.values())), Fraction)
        biases.append(distance(law, wanted))
    assert min(biases) > Fraction(1, 1000)  # a larger neighbourhood does not make it vanish


@pytest.mark.parametrize(("shape", "radius"), [((2, 2), 0), ((2, 2), 1), ((1, 4), 1)])
def test_samples_follow_the_enumerated_law_and_not_the_target(shape, radius):
    target, draft = models(order=2)
    law, wanted = (
        np.array([float(found.get(text, 0)) for text in product(range(SIZE), repeat=LENGTH)])
        for found in (local_law(target, draft, REJECTION, shape, radius), target_law(target))
    )
    floats = models(order=2, exact=False)
    rng = np.random.default_rng(radius)
    done = local_decode(*floats, 60_000, REJECTION, rng, shape, radius)
    index = done.tokens @ SIZE ** np.arange(LENGTH)[::-1]
    assert not audit_law(index, law, ALPHA).biased
    assert audit_law(index, wanted, ALPHA).biased
    assert done.target_calls.min() == 1
    assert done.target_calls.max() <= 1 + LENGTH


def test_bad_input_is_named():
    target, draft = models(order=0)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="shape"):
        local_decode(target, draft, 1, REJECTION, rng, (3, 3))
    with pytest.raises(InputError, match="radius"):
        local_decode(target, draft, 1, REJECTION, rng, (2, 2), -1)
    long = ByContext(lambda context: np.array([0.5, 0.5]), 2, 16)
    with pytest.raises(TooLarge, match="places"):
        local_law(long, long, REJECTION, (4, 4), 0)
