"""Speculative Jacobi decoding: its exact law on Fractions, then samples, then what it costs."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from spectheory.audit.sequential import audit_law
from spectheory.decoding import jacobi_law as enumeration
from spectheory.decoding.fixed_length import ByContext, Window, plain_decode, speculative_decode
from spectheory.decoding.jacobi import jacobi_decode, jacobi_step
from spectheory.decoding.jacobi_law import jacobi_law
from spectheory.decoding.tabular import TabularModel
from spectheory.errors import InputError, TooLarge
from spectheory.verification.grouped import Grouped
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.rule import rule
from spectheory.verification.token_groups import Partition

ALPHA = 1e-6
REJECTION = rule("rejection")


def sequence_law(model, length):
    """The chain rule, sequence by sequence."""
    law = {}
    for text in product(range(model.vocab_size), repeat=length):
        mass = Fraction(1)
        for i, token in enumerate(text):
            mass *= model.law(list(text[:i]))[token]
        if mass:
            law[text] = mass
    return law


def positive(law):
    return {text: mass for text, mass in law.items() if mass}


def distance(law, other):
    texts = law.keys() | other.keys()
    return sum(abs(law.get(t, 0) - other.get(t, 0)) for t in texts) / 2


def tabular(size, order, seed, zeros=0.0, **options):
    rng = np.random.default_rng(seed)
    return TabularModel.random(size, order, rng, resolution=4, zeros=zeros, **options)


@pytest.mark.parametrize("coupled", [False, True], ids=["independent", "coupled"])
@pytest.mark.parametrize(
    ("size", "length", "width", "order"), [(2, 3, 2, 2), (2, 3, 3, 2), (2, 4, 3, 3), (3, 2, 2, 1)]
)
def test_law_is_the_target_exactly(size, length, width, order, coupled):
    model = tabular(size, order, seed=size + length, zeros=0.2)
    law = jacobi_law(ByContext(model.law, size, length), REJECTION, width, coupled)
    assert positive(law) == sequence_law(model, length)


def test_law_of_a_lossless_group_rule_is_the_target_exactly():
    model = tabular(3, 1, seed=5)
    law = jacobi_law(ByContext(model.law, 3, 2), rule("grouped_redraw"), 2)
    assert positive(law) == sequence_law(model, 2)


def guesses_said_to_be_drawn_from_the_new_law(rule, laws, window, width, uniforms, coupled=False):
    """A wrong step: guesses behind a replaced one stay, under the law of this pass."""
    step, kept = jacobi_step(rule, laws, window, width, uniforms, coupled)
    place = np.arange(step.tokens.shape[1])
    stale = (place >= step.final[:, None]) & (place < window.end[:, None])
    tokens = np.where(stale, window.tokens, step.tokens)
    return Window(tokens, step.draft, step.final, step.end), kept


def test_enumeration_catches_a_wrong_draft_law(monkeypatch):
    monkeypatch.setattr(enumeration, "jacobi_step", guesses_said_to_be_drawn_from_the_new_law)
    model = tabular(2, 2, seed=5)
    law = jacobi_law(ByContext(model.law, 2, 3), REJECTION, 3)
    assert sum(law.values()) == 1
    assert distance(law, sequence_law(model, 3)) > 0


def duplicated(model):
    """Every token twice, split unevenly; what follows depends on the pair only."""

    def law(context):
        halves = [(m / 4, 3 * m / 4) for m in model.law([t // 2 for t in context])]
        return np.array([mass for pair in halves for mass in pair], dtype=object)

    return law


def test_groups_that_are_true_synonyms_keep_the_law_of_the_groups():
    """Relaxed acceptance by group is exact on what can be observed, if that is all that matters."""
    model = tabular(2, 1, seed=3)
    wanted = sequence_law(model, 2)
    decoder = ByContext(duplicated(model), 4, 2)
    law = jacobi_law(decoder, GroupedKeep(), 2)
    observed = {}
    for text, mass in law.items():
        pair = tuple(t // 2 for t in text)
        observed[pair] = observed.get(pair, 0) + mass
    assert positive(observed) == wanted
    first = [sum(m for text, m in law.items() if text[0] == t) for t in range(4)]
    assert first != list(duplicated(model)([]))  # the tokens themselves are biased


def test_groups_that_are_no_synonyms_do_not():
    model = tabular(4, 1, seed=3)
    law = jacobi_law(ByContext(model.law, 4, 2), GroupedKeep(), 1)
    observed, wanted = {}, {}
    for texts, sums in ((law, observed), (sequence_law(model, 2), wanted)):
        for text, mass in texts.items():
            pair = tuple(t // 2 for t in text)
            sums[pair] = sums.get(pair, 0) + mass
    assert distance(observed, wanted) > 0


# -- samples -------------------------------------------------------------------------------------

SIZE, LENGTH, COUNT = 3, 5, 30_000


def index_of(tokens):
    return tokens @ SIZE ** np.arange(LENGTH)[::-1]


@pytest.fixture(scope="module")
def models():
    """Float64 target, another as draft, and the target's exact sequence law by index."""
    target, draft = (tabular(SIZE, 2, seed, exact=False) for seed in (1, 2))
    law = np.zeros(SIZE**LENGTH)
    for text, mass in sequence_law(tabular(SIZE, 2, 1), LENGTH).items():
        law[index_of(np.array(text))] = mass
    return ByContext(target.law, SIZE, LENGTH), ByContext(draft.law, SIZE, LENGTH), law


@pytest.mark.parametrize("coupled", [False, True], ids=["independent", "coupled"])
def test_samples_follow_the_target(models, coupled):
    target, _, law = models
    rng = np.random.default_rng(11)
    done = jacobi_decode(target, COUNT, REJECTION, rng, width=3, coupled=coupled)
    assert not audit_law(index_of(done.tokens), law, ALPHA).biased
    assert done.target_calls.max() <= LENGTH
    assert done.target_calls.min() >= -(-LENGTH // 4)
    # every pass but a full last one makes one token that is no kept guess
    assert (done.accepted + done.target_calls >= LENGTH).all()
    assert done.tokens_per_call > 1.2


def test_samples_of_a_grouped_rule_are_caught(models):
    target, draft, law = models
    lossy = Grouped(Partition(np.array([0, 1, 1])))
    rng = np.random.default_rng(12)
    done = jacobi_decode(target, COUNT, lossy, rng, width=3)
    assert audit_law(index_of(done.tokens), law, ALPHA).biased
    done = speculative_decode(target, draft, COUNT, lossy, rng, drafts=3)
    assert audit_law(index_of(done.tokens), law, ALPHA).biased


def test_samples_of_a_grouped_rule_follow_its_enumerated_law():
    model = tabular(SIZE, 1, 4)
    lossy = Grouped(Partition(np.array([0, 1, 1])))
    exact = jacobi_law(ByContext(model.law, SIZE, 2), lossy, 2)
    law = np.zeros(SIZE**2)
    for text, mass in exact.items():
        law[SIZE * text[0] + text[1]] = mass
    floats = ByContext(tabular(SIZE, 1, 4, exact=False).law, SIZE, 2)
    done = jacobi_decode(floats, COUNT, lossy, np.random.default_rng(13), width=2)
    assert not audit_law(done.tokens @ np.array([SIZE, 1]), law, ALPHA).biased


def test_plain_and_drafted_samples_follow_the_target(models):
    target, draft, law = models
    rng = np.random.default_rng(14)
    assert not audit_law(index_of(plain_decode(target, COUNT, rng).tokens), law, ALPHA).biased
    done = speculative_decode(target, draft, COUNT, REJECTION, rng, drafts=3)
    assert not audit_law(index_of(done.tokens), law, ALPHA).biased


def test_tokens_per_call_of_independent_positions():
    """Long texts of i.i.d. tokens: ``(1 - a^(n + 1)) / (1 - a)`` tokens a pass with n drafts."""
    p, q, length, drafts, count = np.array([0.7, 0.3]), np.array([0.4, 0.6]), 1000, 3, 100
    models = [ByContext(lambda context, law=law: law, 2, length) for law in (p, q)]
    for model, law in zip(models, (p, q), strict=True):
        model.laws = lambda tokens, rows, law=law: np.broadcast_to(law, (*tokens.shape, 2))
    rng = np.random.default_rng(15)
    done = speculative_decode(*models, count, REJECTION, rng, drafts)
    a = 0.7
    mean = sum(a**i for i in range(drafts + 1))
    second = sum((2 * i + 1) * a**i for i in range(drafts + 1))
    passes = done.target_calls.sum()
    # 5 standard errors, and up to 3 tokens lost at each end
    slack = 5 * np.sqrt((second - mean**2) / passes) + drafts * count / passes
    assert abs(done.tokens_per_call - mean) < slack
    assert slack < 0.05


def test_bad_input_is_named(models):
    target, draft, _ = models
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="width"):
        jacobi_decode(target, 1, REJECTION, rng, width=0)
    with pytest.raises(InputError, match="drafts"):
        speculative_decode(target, draft, 1, REJECTION, rng, drafts=0)
    with pytest.raises(InputError, match="spechub"):
        jacobi_decode(target, 1, rule("spechub"), rng)
    with pytest.raises(InputError, match="Another tokenizer"):
        speculative_decode(target, ByContext(draft._law, 2, LENGTH), 1, REJECTION, rng)
    with pytest.raises(TooLarge, match="cells"):
        jacobi_law(ByContext(tabular(4, 2, 0).law, 4, 4), REJECTION, 4)
