"""Rows held as logits are the same laws as the NumPy definitions make of them."""

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spectheory import distributions
from spectheory.batched import laws as batched_laws
from spectheory.batched.draws import draw, draw_in_torch
from spectheory.errors import InputError, ShapeError
from spectheory.verdict import inverse_transform

SETTINGS = [
    {},
    {"temperature": 0.7},
    {"temperature": 0.0},
    {"top_k": 50},
    {"top_k": 3, "temperature": 1.4},
    {"top_p": 0.9},
    {"top_p": 1e-9},
    {"temperature": 0.7, "top_k": 20, "top_p": 0.8},
]


def defined(logits, temperature=1.0, top_k=None, top_p=None):
    law = distributions.from_logits(logits, temperature)
    law = law if top_k is None else distributions.top_k(law, top_k)
    return law if top_p is None else distributions.top_p(law, top_p)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_laws_are_those_of_the_definition(logits, setting):
    for given in logits:
        law = defined(given, **setting)
        held = batched_laws.from_logits(torch.as_tensor(given), **setting)
        dense = held.dense().numpy()
        assert ((dense > 0) == (law > 0)).all()  # the same tokens are cut off, ties included
        np.testing.assert_allclose(dense, law, rtol=1e-13, atol=0)
        tokens = torch.randint(given.shape[-1], (len(given), 4))
        assert torch.equal(held.at(tokens), held.dense().gather(-1, tokens))
        assert torch.equal(held[3:5].dense(), held.dense()[3:5])


def test_one_pass_laws_are_those_of_the_definition(logits):
    for given in logits:
        rows, heat = torch.as_tensor(given), torch.linspace(0.5, 2, len(given)).double()
        law = batched_laws.softmax(rows, 0.7).dense().numpy()
        np.testing.assert_allclose(law, defined(given, 0.7), rtol=1e-12, atol=0)
        each = batched_laws.softmax(rows, heat).dense().numpy()
        want = [defined(row, float(t)) for row, t in zip(given, heat, strict=True)]
        np.testing.assert_allclose(each, want, rtol=1e-12, atol=0)
        assert (batched_laws.greedy(rows).dense().numpy() == defined(given, 0.0)).all()


def test_a_nucleus_that_ends_between_ties():
    """0.1 eight times is 0.7999999999999999 in a row of sums, so the ninth token is taken."""
    for make in (batched_laws.from_logits, batched_laws.truncated):
        kept = make(torch.zeros(1, 10), top_p=0.8).dense() > 0
        assert kept.sum() == (distributions.top_p(np.full(10, 0.1), 0.8) > 0).sum() == 9


def test_a_nucleus_wider_than_the_shortlist():
    logits = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32) * 0.1
    held = batched_laws.from_logits(torch.as_tensor(logits), top_p=0.95).dense().numpy()
    law = defined(logits, top_p=0.95)
    assert (law > 0).sum() > 10 * batched_laws.SHORTLIST
    assert ((held > 0) == (law > 0)).all()


LOGITS = st.one_of(
    st.floats(-40, 40, width=32),
    st.integers(-3, 3).map(float),  # ties
    st.floats(-(2.0**-20), 2.0**-20, width=32),  # nearly ties
    st.just(-np.inf),
)


def sorted_laws(logits, *parameters):
    """The definition's laws, one row at a time as the decoder calls it."""
    return torch.stack([defined(row, *parameters) for row in logits])


@for_all(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.integers(1, 90)), elements=LOGITS
    ).filter(lambda logits: np.isfinite(logits.max(-1)).all()),
    st.sampled_from([1.0, 0.0, 0.7, 1e-3, 50.0]),
    st.none() | st.integers(1, 100),
    st.none() | st.floats(1e-12, 1) | st.sampled_from([0.1, 0.3, 0.5, 0.9, 1 - 1e-12]),
)
def test_truncation_keeps_what_a_sort_keeps(logits, temperature, top_k, top_p):
    rows = torch.as_tensor(logits)
    laws = batched_laws.truncated(rows, temperature, top_k, top_p)
    assert torch.equal(laws.dense(), sorted_laws(rows, temperature, top_k, top_p))  # bit for bit
    cut = temperature == 0 or (top_k or 100) < rows.shape[-1] or (top_p or 1) < 1
    assert (laws.kept is not None) == cut
    for law, kept in zip(laws.dense(), laws.kept or (), strict=False):
        assert kept.tolist() == law.nonzero()[:, 0].tolist()


@pytest.mark.parametrize("kind", ["zipf", "flat", "equal", "one token", "masked", "rounded"])
@pytest.mark.parametrize(
    "setting",
    [(0.7, None, 0.9), (1.0, 50, None), (1.0, 50, 0.9), (1.0, 9_000, None), (1.5, None, 0.999)],
    ids=str,
)
def test_truncation_of_a_real_vocabulary(kind, setting):
    size, generator = 49_152, np.random.default_rng(1)
    rank = np.log1p(generator.permuted(np.tile(np.arange(size), (2, 1)), axis=1))
    logits = generator.normal(size=(2, size)) - (1.1 * rank if kind == "zipf" else 0)
    if kind == "equal":
        logits[:] = -3.25
    if kind == "one token":
        logits[:] = -np.inf
        logits[:, 7] = 1.5
    if kind == "masked":
        logits[generator.random(logits.shape) < 0.999] = -np.inf
    if kind == "rounded":
        logits = np.round(logits)
    rows = torch.as_tensor(logits.astype(np.float32))
    assert torch.equal(batched_laws.truncated(rows, *setting).dense(), sorted_laws(rows, *setting))


def test_a_request_beside_greedy_and_untruncated_ones(logits):
    rows = torch.as_tensor(logits[0][:4])
    heat = torch.tensor([0.7, 0.0, 1.0, 1.3], dtype=torch.float64)
    count, mass = torch.tensor([5, 700, 700, 9]), torch.tensor([0.5, 0.9, 1.0, 1.0]).double()
    law = batched_laws.truncated(rows, heat, count, mass).dense()
    each = zip(rows, heat.tolist(), count.tolist(), mass.tolist(), strict=True)
    assert torch.equal(law, torch.stack([defined(*one) for one in each]))


def test_each_request_has_its_own_parameters(logits):
    given = logits[0][:8].reshape(4, 2, -1)  # (B, rows, V)
    double = torch.float64
    settings = [SETTINGS[i] for i in (0, 2, 3, 7)]
    held = batched_laws.from_logits(
        torch.as_tensor(given),
        temperature=torch.tensor([[s.get("temperature", 1.0)] for s in settings], dtype=double),
        top_k=torch.tensor([[s.get("top_k", given.shape[-1])] for s in settings]),
        top_p=torch.tensor([[s.get("top_p", 1.0)] for s in settings], dtype=double),
    ).dense()
    for rows, setting, law in zip(given, settings, held.numpy(), strict=True):
        np.testing.assert_allclose(law, defined(rows, **setting), rtol=1e-13, atol=0)


def test_float32_probabilities_are_within_their_precision(logits):
    held = batched_laws.from_logits(torch.as_tensor(logits[0]), dtype=torch.float32)
    np.testing.assert_allclose(held.dense().numpy(), defined(logits[0]), rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
    ],
)
@pytest.mark.parametrize("make", [batched_laws.from_logits, batched_laws.truncated])
def test_parameters_out_of_range_are_named(change, words, make):
    with pytest.raises(InputError, match=words):
        make(torch.zeros(2, 5), **change)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", ["from_logits", "truncated", "softmax", "greedy"])
def test_logits_that_are_none_are_refused(bad, make):
    made = getattr(batched_laws, make)
    logits = torch.zeros(2, 5)
    logits[1, 2] = bad
    with pytest.raises(InputError, match="NaN"):
        made(logits)
    with pytest.raises(InputError, match="masked"):
        made(torch.full((1, 3), -torch.inf))


@pytest.mark.parametrize("make", [batched_laws.from_logits, batched_laws.truncated])
def test_laws_over_nothing_are_refused(make):
    with pytest.raises(ShapeError, match="V >= 1"):
        make(torch.zeros(3, 0))


@pytest.mark.parametrize("size", [3, 512, 700, 1536])
@pytest.mark.parametrize("draws", [draw, draw_in_torch])
def test_draws_are_those_of_the_inverse_transform(size, draws):
    generator = np.random.default_rng(size)
    mass = generator.random((300, size)) * (generator.random((300, size)) < 0.1)
    mass[:, generator.integers(size)] = 0.5
    uniforms = generator.random(300)
    uniforms[:3] = [0.0, 1 - 2**-53, 0.5]
    tokens = draws(torch.as_tensor(mass), torch.as_tensor(uniforms)).numpy()
    assert (tokens == inverse_transform(mass, uniforms)).all()
    assert (mass[np.arange(300), tokens] > 0).all()
