"""Sampling parameters give the laws of `distributions`, though fewer tokens are sorted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spectheory import distributions
from spectheory.decoding.sampling import Sampling
from spectheory.errors import InputError

LOGITS = st.one_of(
    st.floats(-40, 40, width=32),
    st.integers(-3, 3).map(float),  # ties
    st.just(-np.inf),
)


def sorted_law(logits, temperature, top_k, top_p):
    law = distributions.from_logits(logits, temperature)
    law = law if top_k is None else distributions.top_k(law, top_k)
    return law if top_p is None else distributions.top_p(law, top_p)


@given(
    arrays.arrays(np.float32, st.integers(1, 90), elements=LOGITS).filter(
        lambda logits: np.isfinite(logits.max())
    ),
    st.sampled_from([1.0, 0.0, 0.7, 1e-3, 50.0]),
    st.none() | st.integers(1, 100),
    st.none() | st.floats(1e-12, 1) | st.sampled_from([0.1, 0.3, 0.5, 0.9, 1 - 1e-12]),
)
def test_laws_are_those_of_a_sort(logits, temperature, top_k, top_p):
    law = Sampling(temperature, top_k, top_p).of_logits(logits)
    assert (law == sorted_law(logits, temperature, top_k, top_p)).all()  # bit for bit


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("cut", [(50, None), (None, 0.9), (50, 0.9), (9_000, 0.99)], ids=str)
def test_laws_over_a_real_vocabulary(cut, rounded):
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(2).normal(size=49_152).astype(np.float32) * 3
    logits = np.round(logits) if rounded else logits
    for given_ in (logits, torch.as_tensor(logits)):
        law, wanted = Sampling(0.7, *cut).of_logits(given_), sorted_law(given_, 0.7, *cut)
        assert type(law) is type(wanted)
        assert bool((law == wanted).all())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("temperature", value) for value in (-1.0, np.nan, np.inf)],
        *[("top_k", value) for value in (0, -1, 2.5, np.nan)],
        *[("top_p", value) for value in (0.0, 1.5, np.nan)],
    ],
)
def test_parameters_out_of_range_are_refused_before_any_law_is_asked_for(name, value):
    with pytest.raises(InputError, match=f"`{name}` is {value}"):
        Sampling(**{name: value})
