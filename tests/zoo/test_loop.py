"""Loops: mended ones follow the target's chain, broken ones do not, and single steps are blind."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import chisquare

from spectheory.audit.sequential import audit_law
from spectheory.decoding.tabular import TabularModel
from spectheory.zoo.cases import language_pair
from spectheory.zoo.entry import Sight, entries, entry
from spectheory.zoo.keys import Keys
from spectheory.zoo.loop import StreamEntry, expected_counts

LOOPS = [key for key, one in entries().items() if isinstance(one, StreamEntry)]
DEPTH = 6


@dataclass(frozen=True)
class KeyedTokenByToken(StreamEntry):
    """Position keys without blocks: rows behind a rejection decide nothing, so no harm is done."""

    def keys(self, rng):
        return Keys(rng, keyed_uniforms=True)


def chain_p_value(one, requests=100_000, seed=1):
    """Pearson's test that the first six tokens are a draw from the product of the target's laws.

    Cells with an expected count below 10 are pooled.
    """
    target, draft = one.models()
    size, table = target.vocab_size, target.tables[-1]
    start = np.zeros((requests, target.order), dtype=np.int64)
    rng = np.random.default_rng(seed)
    texts = np.zeros((requests, DEPTH + one.gamma + 1), dtype=np.int64)
    length = np.zeros(requests, dtype=np.int64)
    for step in one._decode(target, draft, np.zeros((size, size)), start, DEPTH, rng):
        for row in range(step.tokens.shape[1]):
            here = (step.counts > row) & (length < texts.shape[1])
            texts[here, length[here]] = step.tokens[here, row]
            length[here] += 1
    place = size ** np.arange(DEPTH)
    tokens = np.arange(size**DEPTH)[:, None] // place % size
    text = np.append(np.zeros((len(tokens), 2), dtype=np.int64), tokens, axis=1)
    steps = [table[text[:, t], text[:, t + 1], text[:, t + 2]] for t in range(DEPTH)]
    expected = requests * np.prod(steps, axis=0)
    seen = np.bincount(texts[:, :DEPTH] @ place, minlength=size**DEPTH)
    often = expected >= 10
    pooled = [np.append(x[often], x[~often].sum()) for x in (seen, expected)]
    return chisquare(pooled[0], pooled[1] * requests / pooled[1].sum()).pvalue


@pytest.mark.parametrize(
    "one",
    [
        entry("bonus_from_draft").mend(),
        entry("position_keyed_block").mend(),
        KeyedTokenByToken(),
    ],
)
def test_right_loops_follow_the_chain(one):
    """Six tokens jointly, across steps, against the product of the target's laws; alarm 1e-6."""
    assert chain_p_value(one) > 1e-6


@pytest.mark.parametrize(
    "key", ["in_place_replacement", "stale_cache_after_bonus", "shifted_rows", "bonus_from_draft"]
)
def test_broken_loops_do_not(key):
    assert chain_p_value(entry(key)) < 1e-6


@pytest.mark.parametrize("key", LOOPS)
def test_first_tokens_are_right(key):
    """What makes these mistakes invisible to an audit of single steps; alarm 1e-6 each."""
    p, q = language_pair(6, 1.5)
    draws = entry(key)(p, q, 60_000, seed=2)
    assert draws.accepted is None
    assert not audit_law(draws.tokens, p, 1e-6).biased


def test_mistakes_are_in_the_sights_named():
    sights = {key: entry(key).seen_by for key in LOOPS}
    assert sights.pop("stale_draft_cache") is Sight.ACCEPTANCE
    assert set(sights.values()) == {Sight.STREAM}
    assert [key for key in LOOPS if not entry(key).sources] == ["bonus_from_draft"]


def test_expected_counts_by_recursion():
    """Token by token: one more than the chance-weighted count of the next row, row by row."""
    target, draft = entry("bonus_from_draft").models()
    p, q = target.tables[-1], draft.tables[-1]
    size = target.vocab_size

    def mean(first, second, rows):
        if rows == 0:
            return 1.0
        taken = np.minimum(p[first, second], q[first, second])
        return 1 + sum(taken[x] * mean(second, x, rows - 1) for x in range(size))

    wanted = [[mean(a, b, 3) for b in range(size)] for a in range(size)]
    assert np.abs(expected_counts(target, draft, 3, block=False) - wanted).max() < 1e-12


def test_blocks_keep_at_least_as_much_as_tokens():
    """And just as much with one draft, where the two rules are one; sun2025block, Theorem 2."""
    models = entry("position_keyed_block").models()
    by_token, by_block = (expected_counts(*models, 3, block) for block in (False, True))
    assert (by_block >= by_token - 1e-12).all()
    assert by_block.max() > by_token.max() + 0.01
    single = [expected_counts(*models, 1, block) for block in (False, True)]
    assert np.abs(single[0] - single[1]).max() < 1e-12


def test_keyed_numbers_are_seen_again_and_fresh_ones_are_not():
    keys = Keys(np.random.default_rng(0), keyed_uniforms=True)
    keys.draw(2, 3, 4)
    uniforms, noise = keys.uniforms, keys.noise
    keys.advance(np.array([1, 3]))
    keys.draw(2, 3, 4)
    assert (keys.uniforms[0, :2] == uniforms[0, 1:]).all()
    assert not np.isin(keys.uniforms[0, 2], uniforms)
    assert not np.isin(keys.uniforms[1], uniforms).any()
    assert not np.isin(keys.noise, noise).any()


def test_models_without_context_serve_single_steps():
    p, q = np.array([0.7, 0.3]), np.array([0.2, 0.8])
    model = TabularModel([p])
    assert model.order == 0
    rows = entry("bonus_from_draft").single_step(p, q, 1_000, seed=0)
    assert rows[0].size == 1_000
    assert all(a.size >= b.size for a, b in pairwise(rows))
