"""Cases of the Triton kernels; `test_triton` runs them in the interpreter and on a GPU.

They are no test module of their own: Triton reads TRITON_INTERPRET when it is first imported.
"""

import numpy as np
import pytest
import torch

from spectheory import distributions
from spectheory.batched import draws, optimal_iid
from spectheory.batched.laws import from_logits
from spectheory.batched.on_device import (
    TILE,
    optimal_iid_on_device,
    verify_chain_on_device,
    weigh,
)
from spectheory.batched.optimal_iid import BatchedOptimalIid
from spectheory.batched.rejection import verify_chain
from spectheory.errors import InputError
from spectheory.verdict import inverse_transform

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
B, N, V = 24, 3, 2 * TILE + 300  # three tiles, the last one in part


def tensor(array):
    return torch.as_tensor(array, device=DEVICE)


def chains(kind, seed=0):
    generator = np.random.default_rng(seed)
    target = generator.normal(size=(B, N + 1, V)).astype(np.float32) * 2
    draft = target[:, :N] + generator.normal(size=(B, N, V)).astype(np.float32)
    if kind == "sparse":
        target[generator.random(target.shape) < 0.99] = -np.inf
        draft[generator.random(draft.shape) < 0.99] = -np.inf
        target[..., 5], draft[..., 5], draft[..., 2 * TILE] = 0, 0, 1
    if kind == "equal":
        draft = target[:, :N].copy()
    drafts = inverse_transform(distributions.from_logits(draft), generator.random((B, N)))
    lengths = generator.integers(0, N + 1, B)
    return target, draft, drafts, generator.random((B, N + 1, 3)), lengths


def agree(one, other):
    return bool((one.kept == other.kept).all()) and bool((one.token == other.token).all())


@pytest.mark.parametrize("kind", ["smooth", "sparse", "equal"])
@pytest.mark.parametrize("setting", [{}, {"temperature": 0.7, "top_k": 40, "top_p": 0.9}], ids=str)
def test_chains_are_those_in_torch(kind, setting):
    target, draft, drafts, tape, lengths = (tensor(part) for part in chains(kind))
    laws = from_logits(target, **setting), from_logits(draft)
    tape = tape[..., :2]
    got = verify_chain_on_device(*laws, drafts, tape, lengths)
    assert agree(got, verify_chain(*laws, drafts, tape, lengths))
    assert not agree(got, verify_chain(*laws, drafts, tape.flip(-1), lengths))


def by_tile(mass, uniforms):
    """The token of a ``(V,)`` mass: its tile by one uniform, then by another its place there."""
    tiles = torch.nn.functional.pad(mass, (0, -V % TILE)).reshape(-1, TILE).cpu().numpy()
    first, second = uniforms.cpu().numpy()
    tile = int(inverse_transform(tiles.sum(-1), first))
    return tile * TILE + int(inverse_transform(tiles[tile], second))


def test_independent_uniforms_draw_tile_and_token():
    target, draft, drafts, tape, lengths = (tensor(part) for part in chains("smooth"))
    laws = from_logits(target), from_logits(draft)
    got = verify_chain_on_device(*laws, drafts, tape, lengths)
    for b in range(B):
        row = int(got.kept[b])
        mass = laws[0][b, row].dense()
        if row < int(lengths[b]):
            mass = (mass - laws[1][b, row].dense()).clamp(min=0)
        assert int(got.token[b]) == by_tile(mass, tape[b, row, 1:])


def test_the_fast_precision_differs_in_near_ties_only():
    target, draft, drafts, tape, lengths = (tensor(part) for part in chains("smooth", seed=1))
    tape = tape[..., :2]
    exact = verify_chain_on_device(from_logits(target), from_logits(draft), drafts, tape, lengths)
    fast = verify_chain_on_device(weigh(target), weigh(draft), drafts, tape, lengths)
    assert int((exact.kept != fast.kept).sum()) == 0
    assert int((exact.token != fast.token).sum()) <= 1


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sums_of_tiles_are_those_of_rows(temperature):
    target, *_ = chains("sparse")
    held = weigh(tensor(target), temperature, torch.float64)
    law = distributions.from_logits(target, temperature)
    np.testing.assert_allclose(held.dense().cpu().numpy(), law, rtol=1e-13, atol=0)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, interpreting
def test_logits_that_are_none_are_refused():
    for bad in (float("nan"), float("inf")):
        logits = torch.zeros(2, V, device=DEVICE)
        logits[1, 7] = bad
        with pytest.raises(InputError, match="NaN"):
            weigh(logits)
    with pytest.raises(InputError, match="masked"):
        weigh(torch.full((1, V), -torch.inf, device=DEVICE))
    with pytest.raises(InputError, match="temperature"):
        weigh(torch.zeros(1, V, device=DEVICE), 0.0)


@pytest.mark.parametrize("kind", ["smooth", "sparse", "equal"])
@pytest.mark.parametrize("k", [1, 3])
def test_optimal_tokens_are_those_in_torch(kind, k):
    target, draft, *_ = chains(kind, seed=2)
    target, draft = target[:, 0], draft[:, 0]
    generator = np.random.default_rng(k)
    q = distributions.from_logits(draft)[:, None, :]
    drafts = tensor(inverse_transform(np.repeat(q, k, 1), generator.random((B, k))))
    tape = tensor(generator.random((B, k + 1)))
    laws = from_logits(tensor(target), top_k=500), from_logits(tensor(draft))
    want = BatchedOptimalIid(256)(*laws, drafts, tape)
    got = optimal_iid_on_device(*laws, drafts, tape, 256)
    assert bool((got.slot == want.slot).all())
    assert bool((got.token == want.token).all())
    if kind == "smooth":
        assert set(got.slot.tolist()) == set(range(k + 1))


def test_more_bins_than_their_numbers_have_bits_for_are_refused():
    laws, drafts = from_logits(torch.zeros(1, 4, device=DEVICE)), tensor(np.zeros((1, 2), np.int64))
    with pytest.raises(InputError, match="`bins` is 65536; expected 32 times a power of 2"):
        optimal_iid_on_device(laws, laws, drafts, tensor(np.zeros((1, 3))), bins=65536)


def test_independent_uniforms_draw_what_the_optimal_rule_leaves(monkeypatch):
    target, draft, *_ = (tensor(part) for part in chains("smooth", seed=3))
    laws = from_logits(target[:, 0]), from_logits(draft[:, 0])
    generator = np.random.default_rng(0)
    q = laws[1].dense().cpu().numpy()[:, None]
    drafts = tensor(inverse_transform(np.repeat(q, 2, 1), generator.random((B, 2))))
    tape, left = tensor(generator.random((B, 4))), []
    monkeypatch.setattr(optimal_iid, "draw", lambda mass, u: left.append(mass) or u.long())
    slot = BatchedOptimalIid(256)(*laws, drafts, tape[:, :3]).slot
    got = optimal_iid_on_device(*laws, drafts, tape, 256)
    assert bool((got.slot == slot).all())
    failed = (slot == 2).nonzero()[:, 0]
    assert len(failed) > 3
    for b, mass in zip(failed, left[0], strict=True):
        assert int(got.token[b]) == by_tile(mass, tape[b, 2:])


def test_draws_differ_where_the_tiles_are_left_out():
    """The cases would see a kernel that drew in the first tile only."""
    mass = torch.rand(50, V, generator=torch.Generator().manual_seed(0)).double()
    uniforms = torch.rand(50, generator=torch.Generator().manual_seed(1)).double()
    whole = draws.draw(mass, uniforms)
    assert int((whole != draws.draw(mass[:, :TILE], uniforms)).sum()) > 40
