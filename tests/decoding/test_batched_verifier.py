"""Decoding with batched verification emits the text of the definitions, request by request."""

import numpy as np
import pytest

from spectheory.batched.rule import batched_rule
from spectheory.decoding.batched_verifier import BatchedLevels
from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.tabular import TabularModel
from spectheory.errors import SchemeMismatch


def texts(rule, branching, scheme="iid", seeds=range(12)):
    rng = np.random.default_rng(5)
    target, draft = (TabularModel.random(9, m, rng, exact=False) for m in (2, 1))
    decoder = Decoder(
        target, ModelDraft(draft), rule=rule, scheme=scheme, branching=branching, batch=5
    )
    hot = Sampling(temperature=1.3, top_k=7)
    requests = [
        Request(prompt=[0, seed % 9], new_tokens=20 + seed, seed=seed, sampling=hot)
        for seed in seeds
    ]
    return [done.tokens for done in decoder.generate(requests)]


@pytest.mark.parametrize(
    ("key", "branching", "scheme"),
    [
        ("rejection", (), "iid"),
        ("rejection", (1, 1, 1), "iid"),
        ("k_seq", (3, 1, 1), "iid"),
        ("recursive", (2, 2), "iid"),
        ("recursive_without_replacement", (3, 2), "without_replacement"),
        ("greedy_optimal", (3, 1), "greedy"),
    ],
)
def test_texts_are_those_of_the_definition(key, branching, scheme):
    verifier = BatchedLevels.of(batched_rule(key))
    got = texts(verifier, branching, scheme)
    assert got == texts(key, branching, scheme)
    assert got != texts(verifier, branching, scheme, seeds=range(1, 13))


def test_trees_that_the_rule_does_not_cover_are_refused():
    with pytest.raises(SchemeMismatch, match="rejection"):
        texts(BatchedLevels.of(batched_rule("rejection")), (2,))
