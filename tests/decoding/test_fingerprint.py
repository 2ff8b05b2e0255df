"""Weights are told apart by what they are, not by what they are called."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from spectheory.decoding.distil_drafter import DistilledDrafter, Recipe  # noqa: E402
from spectheory.decoding.draft_source import ModelDraft, NoDraft  # noqa: E402
from spectheory.decoding.fingerprint import READ, fingerprint, fingerprint_of_draft  # noqa: E402
from spectheory.decoding.lookup import PromptLookup  # noqa: E402
from spectheory.decoding.lookup_first import LookupFirst  # noqa: E402
from spectheory.decoding.pruned_head import PrunedHead  # noqa: E402
from tests.decoding.tiny_drafter import tiny  # noqa: E402


def test_models_of_one_name():
    one, same, other = (tiny(seed=seed) for seed in (0, 0, 1))
    assert fingerprint(one.module) == fingerprint(same.module)
    assert fingerprint(one.module) != fingerprint(other.module)
    one.speed_up()  # reads copies of the weights, which are the same
    assert fingerprint(one.module) == fingerprint(same.module)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_and_shapes(dtype):
    layer = torch.nn.Linear(4, 6, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
    before = fingerprint(layer)
    assert fingerprint(torch.nn.Linear(4, 6, bias=False).to(dtype)) != before
    turned = torch.nn.Linear(6, 4, bias=False)
    with torch.no_grad():
        turned.weight.fill_(1)
    assert fingerprint(turned) != before


def test_a_large_tensor_is_read_from_end_to_end():
    layer = torch.nn.Linear(4 * READ, 1)
    seen = {fingerprint(layer)}
    for part in torch.arange(4 * READ).split(READ):
        with torch.no_grad():
            layer.weight[0, part] += 1
        seen.add(fingerprint(layer))
    assert len(seen) == 5


def test_drafts_have_weights_of_their_own_or_none():
    target = tiny()
    lookup = PromptLookup(target.vocab_size)
    assert fingerprint_of_draft(NoDraft()) == fingerprint_of_draft(lookup) == ""
    assert fingerprint_of_draft(ModelDraft(target.early_exit(2))) == ""
    model = ModelDraft(tiny(seed=1))
    assert fingerprint_of_draft(model) == fingerprint(model.model.module)
    drafter = DistilledDrafter(target, Recipe((0, -1)))
    seen = set()
    for _ in range(2):
        with torch.no_grad():
            next(drafter.parts.parameters()).add_(1)  # as training does
        plain = ModelDraft(drafter)
        found = {
            fingerprint_of_draft(source)
            for source in (
                plain,
                ModelDraft(PrunedHead(drafter, [1, 2, 3])),
                LookupFirst(lookup, plain),
            )
        }
        assert len(found) == 1
        seen |= found
    assert len(seen) == 2
