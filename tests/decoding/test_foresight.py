"""Acceptance logged along a text, against closed forms and against what decoding then accepts."""

import numpy as np
import pytest

from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.foresight import logged_acceptance
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.sampling import PLAIN
from spectheory.decoding.tabular import TabularModel
from spectheory.distributions import overlap
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.rule import rule

IID = scheme("iid")


def models():
    rng = np.random.default_rng(2)
    return (TabularModel.random(6, order, rng, exact=False) for order in (1, 1))


def test_each_position_has_the_overlap_of_its_two_laws():
    target, draft = models()
    text = np.random.default_rng(0).integers(0, 6, 30)
    found = logged_acceptance(
        target, ModelDraft(draft), text, 10, scheme=IID, rule=rule("rejection"), sampling=PLAIN
    )
    for row, t in enumerate(range(10, 30)):
        expected = overlap(target.law(text[:t]), draft.law(text[:t]))
        assert found.first[row] == found.later[row] == pytest.approx(expected, abs=1e-14)


def test_rules_for_two_drafts_are_ordered_and_one_draft_is_below():
    target, draft = models()
    text = np.random.default_rng(1).integers(0, 6, 40)

    def first(key, k):
        return logged_acceptance(
            target, ModelDraft(draft), text, 5, scheme=IID, rule=rule(key), k=k, sampling=PLAIN
        )

    best, recursive, k_seq = (first(key, 2) for key in ("optimal_iid", "recursive", "k_seq"))
    for other in (recursive, k_seq):
        assert (best.first >= other.first - 1e-12).all()
        assert (other.first >= other.later - 1e-12).all()
    assert best.first.mean() > recursive.first.mean() + 1e-3


def test_greedy_drafts_accept_the_optimum_of_their_scheme():
    target, draft = models()
    text = np.random.default_rng(2).integers(0, 6, 30)
    found = logged_acceptance(
        target,
        ModelDraft(draft),
        text,
        10,
        scheme=scheme("greedy"),
        rule=rule("greedy_optimal"),
        k=3,
        sampling=PLAIN,
    )
    for row, t in enumerate(range(10, 30)):
        p, q = target.law(text[:t]), draft.law(text[:t])
        expected = optimal_value(p, q, 3, "greedy")
        assert found.first[row] == pytest.approx(float(expected), abs=1e-12)
        assert found.later[row] == pytest.approx(overlap(p, q), abs=1e-12)


def test_a_law_of_one_token_is_drafted_once_by_a_scheme_of_distinct_tokens():
    target, _ = models()
    text = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    found = logged_acceptance(
        target,
        PromptLookup(6),
        text,
        3,
        scheme=scheme("greedy"),
        rule=rule("greedy_optimal"),
        k=3,
        sampling=PLAIN,
    )
    assert found.alike[1:].all()
    assert (found.first == found.later).all()
    for row, t in enumerate(range(4, 8), 1):
        assert found.first[row] == pytest.approx(target.law(text[:t])[text[t]], abs=1e-14)


def test_where_nothing_is_drafted_nothing_is_accepted():
    target, _ = models()
    text = np.array([0, 1, 2, 0, 1, 2])
    found = logged_acceptance(
        target, PromptLookup(6), text, 2, scheme=IID, rule=rule("rejection"), sampling=PLAIN
    )
    assert found.first[:2].tolist() == [0, 0]  # behind 0 1 and 0 1 2 nothing repeats yet
    for row, t in [(2, 4), (3, 5)]:
        assert found.first[row] == pytest.approx(target.law(text[:t])[text[t]], abs=1e-14)
    # Behind 0 1 2 0 came 1 2 0, but the text ends two tokens on.
    assert found.offered.tolist() == [0, 0, 2, 1]
    assert found.alike.tolist() == [False, False, True, True]
    target, draft = models()
    draft.context = 3  # beyond it, nothing is drafted
    found = logged_acceptance(
        target, ModelDraft(draft), text, 2, scheme=IID, rule=rule("rejection"), sampling=PLAIN
    )
    assert found.offered.tolist() == [4, 3, 0, 0]
    assert (found.first > 0).tolist() == [True, True, False, False]


def test_decoding_accepts_what_the_log_of_its_text_says():
    """Given the text so far, a step accepts with the logged probability: a martingale.

    By Azuma's inequality the sum is off by more than the bound with probability 1e-6.
    """
    target, draft = models()
    decoder = Decoder(target, ModelDraft(draft), branching=(1,))
    text, starts, accepted = [0], [], []
    for emission in decoder.stream([Request([0], 1500, seed=6)]):
        if emission.drafted:
            starts.append(len(text) - 1)
            accepted.append(len(emission.tokens) == 2)
        text += emission.tokens
    found = logged_acceptance(
        target, ModelDraft(draft), text, 1, scheme=IID, rule=rule("rejection"), sampling=PLAIN
    )
    excess = np.sum(accepted) - found.first[starts].sum()
    assert abs(excess) < np.sqrt(len(starts) * np.log(2e6) / 2)
    assert 0.3 < np.mean(accepted) < 0.95


def test_refusals():
    target, draft = models()
    for start in (0, 3):
        with pytest.raises(InputError, match="`start`"):
            logged_acceptance(
                target, ModelDraft(draft), np.array([0, 1, 2]), start,
                scheme=IID, rule=rule("rejection"), sampling=PLAIN,
            )  # fmt: skip
