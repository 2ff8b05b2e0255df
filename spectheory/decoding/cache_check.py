"""Whether a model reads from a rolled-back cache what it reads in one pass, tried on a few tokens.

Some attention takes positions not from ``position_ids`` and masks but from cache slots (ALiBi,
windows that a model cuts itself). In a tree, and in a batch of texts of different lengths, a slot
is no position; such a model would go on without an error, by other laws. No list of families is
complete, so each model is tried. Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from spectheory.decoding.session import LogitRows, Nodes
from spectheory.errors import InputError, ModelFailure, out_of_memory

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel
    from spectheory.decoding.transformer_session import TransformerSession

TEXT, TREE, PARENTS = 2, 4, (-1, -1, 0, 1)
"""Two tokens of text; below them two branches of two tokens each, which alternate in the cache."""

LONGER = 512
"""Slots by which another text of the batch is longer, masked ones that nothing was read into. It
finds windows that a model cuts from slots if they are shorter: GPT-Neo's have 256."""


def check_cache_reading(model: TransformerModel, session: TransformerSession) -> None:
    """Refuse a model whose cached passes are not its one pass.

    Args:
        model: of which one pass over whole texts is asked.
        session: a new one of the model, of two texts.

    Raises:
        InputError: their logits differ by more than rounding, or the model cannot read so at all.
        ModelFailure: NaN or infinite logits.
        MemoryError: even this does not fit.
    """
    try:
        gap = _gap(model, session)
    except (InputError, ModelFailure, MemoryError):
        raise
    except Exception as error:  # whatever a model's own code does with inputs it did not expect
        if out_of_memory(error):
            raise MemoryError(f"model `{model.name}` cannot be tried: {error}") from error
        raise InputError(f"model `{model.name}` {CAUSE}: {error}") from error
    eps = max(torch.finfo(kind).eps for kind in (model.module.dtype, torch.float32))
    if not gap <= eps**0.5:  # half of the digits
        raise InputError(f"model `{model.name}` {CAUSE} (relative gap of its logits {gap:.2g})")


CAUSE = (
    "does not read a cache that is rolled back as it reads a whole text, so it cannot be decoded "
    "speculatively; attention that takes positions from cache slots, such as ALiBi?"
)


def _gap(model: TransformerModel, session: TransformerSession) -> float:
    """Relative gap of the logits behind the tree's nodes, the largest but one.

    A router may send one of them to another expert for a rounding.
    """
    a, b, c, d, e, f = (i % model.vocab_size for i in range(TEXT + TREE))
    nothing = Nodes([], [], 0)
    session.extend([Nodes.chain([a, b], 0), nothing])
    context = model.context or TREE + LONGER
    session.keep([range(TEXT), range(min(LONGER, context - TREE))])
    [rows, _] = session.extend([Nodes([c, d, e, f], PARENTS, TREE), nothing])
    assert isinstance(rows, LogitRows)
    with torch.inference_mode():
        branches = torch.tensor([[a, b, c, e], [a, b, d, f]], device=model.module.device)
        own = model.module(branches, use_cache=False).logits[[0, 1, 0, 1], [2, 2, 3, 3]]
        found, own = (x.float() - x.float().mean(-1, keepdim=True) for x in (rows.logits, own))
        size = own.norm(dim=-1).clamp(min=torch.finfo(own.dtype).tiny)  # 0 of a head of zeros
        return float(((found - own).norm(dim=-1) / size).kthvalue(TREE - 1).values)
