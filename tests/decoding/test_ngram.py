from fractions import Fraction

import numpy as np
import pytest

from spectheory.decoding.ngram import NgramModel
from spectheory.errors import InputError, TokenError

V, ORDER = 7, 3
GENERATOR = np.random.default_rng(3)
CORPUS = GENERATOR.integers(0, V - 1, 60)
PROMPT = GENERATOR.integers(0, V, 25)


def warmed():
    model = NgramModel(V, ORDER)
    model.update(CORPUS)
    return model


def reference(texts, context):
    """Witten-Bell from its definition: count again at every step, in Fractions."""

    def law(length):
        if length < 0:
            return [Fraction(1, V)] * V
        history = list(context[len(context) - length :])
        counts = [0] * V
        for text in texts:
            for end in range(length, len(text)):
                if list(text[end - length : end]) == history:
                    counts[text[end]] += 1
        kinds = sum(count > 0 for count in counts)
        lower = law(length - 1)
        if not kinds:
            return lower
        scale = sum(counts) + kinds
        return [(c + kinds * p) / scale for c, p in zip(counts, lower, strict=True)]

    return [float(mass) for mass in law(min(ORDER - 1, len(context)))]


def test_equals_the_definition_at_every_step():
    logits = warmed().logits(PROMPT)
    for t in range(len(PROMPT)):
        expected = reference([CORPUS, PROMPT[: t + 1]], PROMPT[: t + 1])
        np.testing.assert_allclose(np.exp(logits[t]), expected, rtol=1e-5)


@pytest.mark.parametrize("model", [warmed(), NgramModel(V, ORDER), NgramModel(V, 1)])
def test_laws_are_proper_and_have_full_support(model):
    laws = np.exp(model.logits(PROMPT).astype(float))
    np.testing.assert_allclose(laws.sum(axis=-1), 1, rtol=1e-6)
    assert (laws > 0).all()


def test_the_future_changes_nothing():
    model, changed = warmed(), PROMPT.copy()
    changed[12:] = (changed[12:] + 1) % V
    before, after = model.logits(PROMPT), model.logits(changed)
    assert (before[:12] == after[:12]).all()
    assert (before[12:] != after[12:]).any()


def test_logits_leave_the_model_as_it_was():
    model = warmed()
    first = model.logits(PROMPT)
    assert (model.logits(PROMPT) == first).all()
    assert model.law(PROMPT).tolist() == warmed().law(PROMPT).tolist()


def test_online_updates_agree_with_the_teacher_forced_pass():
    model, expected = warmed(), warmed().logits(PROMPT)
    for t in range(len(PROMPT)):
        model.update(PROMPT[t : t + 1], context=PROMPT[:t])
        np.testing.assert_allclose(
            np.log(model.law(PROMPT[: t + 1])), expected[t], rtol=1e-5, atol=1e-6
        )


def test_an_unseen_model_is_uniform():
    assert NgramModel(4).law([]).tolist() == [0.25] * 4


def test_refusals():
    with pytest.raises(InputError, match="order"):
        NgramModel(4, order=0)
    with pytest.raises(TokenError, match="outside the vocabulary of 4"):
        NgramModel(4).update([4])
    with pytest.raises(TokenError, match="empty"):
        NgramModel(4).logits([])


def test_a_large_vocabulary_is_fast_enough():
    model = NgramModel(49_152)
    model.update(np.arange(2_000))
    assert model.logits(np.arange(64)).shape == (64, 49_152)
