"""A chain of drafts, verified in one go, against the definition walked draft by draft."""

import numpy as np
import pytest
import torch

from spectheory import distributions
from spectheory.batched.laws import from_logits
from spectheory.batched.rejection import verify_chain
from spectheory.errors import ImpossibleDraft, ShapeError
from spectheory.verdict import inverse_transform
from spectheory.verification.rejection import Rejection

B, N, V = 120, 4, 600


def chains(seed=0, spread=0.7, settings=(0.9, 200)):
    """Logits, drafts of the draft law, a tape and ragged lengths."""
    generator = np.random.default_rng(seed)
    target = generator.normal(size=(B, N + 1, V)).astype(np.float32) * 2
    noise = generator.normal(size=(B, N, V)).astype(np.float32) * spread
    draft = target[:, :N] + noise
    laws = distributions.from_logits(draft)
    drafts = inverse_transform(laws, generator.random((B, N)))
    lengths = generator.integers(0, N + 1, B)
    return target, draft, drafts, generator.random((B, N + 1, 2)), lengths


def walked(target, draft, drafts, tape, lengths):
    """The definition, one draft after the other."""
    kept, tokens = [], []
    for b in range(len(drafts)):
        for row in range(lengths[b]):
            verdict = Rejection().verdict(target[b, row], draft[b, row], drafts[b, row : row + 1])
            drawn = verdict.sample(tape[b, row])
            if drawn.slot == 1:
                kept.append(row)
                tokens.append(int(drawn.token))
                break
        else:
            kept.append(int(lengths[b]))
            tokens.append(int(inverse_transform(target[b, lengths[b]], tape[b, lengths[b], 1])))
    return np.array(kept), np.array(tokens)


@pytest.mark.parametrize("ragged", [False, True])
def test_chains_are_those_of_the_definition(ragged):
    target, draft, drafts, tape, lengths = chains()
    if not ragged:
        lengths = np.full(B, N)
    p = distributions.top_p(distributions.from_logits(target, 0.9), 0.95)
    want = walked(p, distributions.from_logits(draft), drafts, tape, lengths)
    if ragged:  # entries beyond a request's length are not read
        drafts = np.where(np.arange(N) < lengths[:, None], drafts, -1)
    got = verify_chain(
        from_logits(torch.as_tensor(target), 0.9, top_p=0.95),
        from_logits(torch.as_tensor(draft)),
        torch.as_tensor(drafts),
        torch.as_tensor(tape),
        torch.as_tensor(lengths) if ragged else None,
    )
    assert (got.kept.numpy() == want[0]).all()
    assert (got.token.numpy() == want[1]).all()
    assert set(want[0].tolist()) == set(range(N + 1))


def test_reading_another_tape_is_seen():
    target, draft, drafts, tape, lengths = chains()
    p, q = distributions.from_logits(target), distributions.from_logits(draft)
    want = walked(p, q, drafts, tape, lengths)
    got = verify_chain(
        from_logits(torch.as_tensor(target)),
        from_logits(torch.as_tensor(draft)),
        torch.as_tensor(drafts),
        torch.as_tensor(np.ascontiguousarray(tape[..., ::-1])),
        torch.as_tensor(lengths),
    )
    assert (got.kept.numpy() != want[0]).any()
    assert (got.token.numpy() != want[1]).any()


def test_chains_without_drafts_sample_the_target():
    target, _, _, tape, _ = chains()
    got = verify_chain(
        from_logits(torch.as_tensor(target[:, :1])),
        from_logits(torch.as_tensor(target[:, :1]))[:, :0],
        torch.zeros(B, 0, dtype=torch.int64),
        torch.as_tensor(tape[:, :1]),
    )
    want = inverse_transform(distributions.from_logits(target[:, 0]), tape[:, 0, 1])
    assert (got.token.numpy() == want).all()
    assert not got.kept.any()


def test_bad_chains_are_refused():
    target, draft, drafts, tape, lengths = chains()
    laws = from_logits(torch.as_tensor(target)), from_logits(torch.as_tensor(draft))
    drafts, tape, lengths = (torch.as_tensor(a) for a in (drafts, tape, lengths))
    with pytest.raises(ShapeError, match=r"\(B, n \+ 1, V\)"):
        verify_chain(laws[1], laws[1], drafts, tape, lengths)
    with pytest.raises(ShapeError, match="uniforms"):
        verify_chain(*laws, drafts, tape[:, :N], lengths)
    with pytest.raises(ShapeError, match="lengths"):
        verify_chain(*laws, drafts, tape, lengths + 1)
    with pytest.raises(ImpossibleDraft):
        verify_chain(*laws, drafts - V, tape)
    with pytest.raises(ImpossibleDraft):
        verify_chain(laws[0], from_logits(torch.as_tensor(draft), top_k=1), drafts, tape)
