from fractions import Fraction

import numpy as np
import pytest

from spectheory.decoding.model import LanguageModel, check_logits
from spectheory.decoding.tabular import TabularModel
from spectheory.errors import (
    ContextTooLong,
    DistributionError,
    InputError,
    ModelFailure,
    ShapeError,
    TokenError,
)


def random_model(**options):
    return TabularModel.random(3, 2, np.random.default_rng(5), zeros=0.4, **options)


def test_is_a_language_model():
    assert isinstance(random_model(), LanguageModel)


def test_laws_are_exact_and_depend_on_the_last_tokens_only():
    model = random_model()
    for context in ([], [0], [2, 1], [0, 1, 2, 1, 0]):
        law = model.law(context)
        assert all(isinstance(mass, Fraction) for mass in law)
        assert sum(law) == 1
    assert (model.law([0, 1, 2]) == model.law([2, 2, 0, 1, 2])).all()
    assert (model.law([1]) == model.tables[1][1]).all()


def test_logits_are_logarithms_of_the_laws():
    model, tokens = random_model(), [0, 2, 1, 1]
    logits = model.logits(tokens)
    assert logits.shape == (4, 3)
    for t in range(4):
        law = model.law(tokens[: t + 1]).astype(float)
        np.testing.assert_allclose(np.exp(logits[t]), law, rtol=1e-15)
    zero = [mass == 0 for table in model.tables for mass in table.flat]
    assert any(zero)


def test_exact_and_float_models_of_one_seed_agree():
    exact, rounded = random_model(), random_model(exact=False)
    for one, other in zip(exact.tables, rounded.tables, strict=True):
        assert (one.astype(float) == other).all()


@pytest.mark.parametrize("zeros", [0.0, 1.0])
def test_zeros_at_the_ends(zeros):
    model = TabularModel.random(4, 1, np.random.default_rng(0), zeros=zeros)
    support = [(table != 0).sum(axis=-1) for table in model.tables]
    assert all((s == (4 if zeros == 0 else 1)).all() for s in support)


def test_refusals():
    model = random_model()
    with pytest.raises(TokenError, match="empty"):
        model.logits([])
    with pytest.raises(TokenError, match="outside the vocabulary of 3"):
        model.logits([0, 3])
    with pytest.raises(TokenError, match="outside the vocabulary"):
        model.logits([-1])
    with pytest.raises(TokenError, match="expected \\(T,\\) integers"):
        model.logits([0.5])
    with pytest.raises(ShapeError, match=r"tables\[1\]"):
        TabularModel([np.ones(2) / 2, np.ones((2, 3)) / 3])
    with pytest.raises(ShapeError, match="empty"):
        TabularModel([])
    with pytest.raises(DistributionError, match=r"tables\[0\]"):
        TabularModel([np.array([0.5, 0.6])])
    with pytest.raises(InputError, match="zeros"):
        TabularModel.random(2, 1, np.random.default_rng(0), zeros=2)


def test_checks_of_the_protocol():
    from spectheory.decoding.model import check_tokens

    with pytest.raises(ContextTooLong, match="3 entries; the model looks back on 2"):
        check_tokens([0, 0, 0], 5, context=2)
    with pytest.raises(ModelFailure, match="position 1"):
        check_logits("m", np.array([[0.0, 1.0], [np.nan, 0.0]]))
    with pytest.raises(ModelFailure, match="position 0"):
        check_logits("m", np.full((1, 2), -np.inf))
