"""Decoding with the Triton kernels; `test_triton_verifier` runs these in Triton's interpreter.

They are no test module of their own: Triton reads TRITON_INTERPRET when it is first imported.
"""

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
import transformers

from spectheory.audit.sequential import audit_law
from spectheory.batched.laws import LogitLaws
from spectheory.decoding import triton_verifier
from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.executors import verifier_for
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.ngram_draft import NgramDraft
from spectheory.decoding.pruned_head import PrunedHead
from spectheory.decoding.sampling import PLAIN, Sampling
from spectheory.decoding.session import LogitRows
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.tape import Purpose, Tape
from spectheory.decoding.transformer import TransformerModel
from spectheory.decoding.tree import ROOT, DraftTree, Origin
from spectheory.errors import InputError

V = 1100  # two of the kernels' tiles
SAMPLINGS = [Sampling(0.7, top_p=0.8), Sampling(1.3, top_k=7), Sampling(0), Sampling(0.7)]
SHARP = Sampling(0.1)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def llamas():
    """Two small random transformers; the draft is the target with noise in its weights."""
    torch.manual_seed(0)
    sizes = {"vocab_size": V, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    modules = [transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)) for _ in range(2)]
    with torch.no_grad():
        modules[0].lm_head.weight.mul_(60)  # laws far from uniform
        modules[1].load_state_dict(modules[0].state_dict())
        modules[1].lm_head.weight.add_(torch.randn(V, 16) * 0.4)
    return tuple(
        TransformerModel(module.to(DEVICE), None, f"llama {i}") for i, module in enumerate(modules)
    )


def decoded(target, source, rule, executor, branching, samplings=SAMPLINGS):
    """Three requests of other lengths, together, and what the decoder counted."""
    decoder = Decoder(target, source, rule=rule, branching=branching, batch=3, executor=executor)
    requests = [
        Request(
            prompt=[0, *range(1, 1 + seed % 4)],
            new_tokens=5 + seed,
            seed=seed,
            sampling=samplings[seed % len(samplings)],
            draft_sampling=Sampling(1.2, top_k=None if seed % 2 else 300),
        )
        for seed in range(3)
    ]
    return [done.tokens for done in decoder.generate(requests)], decoder


@pytest.mark.parametrize(
    ("rule", "branching"),
    [("rejection", (1, 1, 1)), ("optimal_iid", (3, 1))],
)
@pytest.mark.parametrize("samplings", [SAMPLINGS, [Sampling(0.8)], [Sampling(0)]], ids=str)
def test_texts_are_those_of_the_batched_executor(llamas, rule, branching, samplings):
    target, draft = llamas
    got, decoder = decoded(target, ModelDraft(draft), rule, "triton", branching, samplings)
    assert decoder.verifier.name == f"{rule}, triton"
    assert len(decoder.statistics.lengths) > 1  # ragged: chains end where they may
    assert got == decoded(target, ModelDraft(draft), rule, "batched", branching, samplings)[0]


def source(name, draft):
    taught = NgramModel(V, 2)
    taught.update(np.arange(200) % 7)
    return {
        "lookup": PromptLookup(V),
        "ngram": NgramDraft(taught),
        "pruned": ModelDraft(PrunedHead(draft.early_exit(1), np.arange(0, V, 2))),
        "none": None,
    }[name]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("lookup", "rejection"),
        ("lookup", "optimal_iid"),
        ("ngram", "rejection"),
        ("pruned", "rejection"),
        ("none", "rejection"),
    ],
)
def test_texts_with_drafts_that_are_no_transformer_s(llamas, name, rule):
    branching = (1, 1) if name != "none" else ()
    got, want = (
        decoded(llamas[0], source(name, llamas[1]), rule, executor, branching)[0]
        for executor in ("triton", "batched")
    )
    assert got == want


def test_a_draft_law_that_is_not_the_one_sampled_is_caught(llamas, monkeypatch):
    """The kernels must see the draft's own parameters: without them texts are others."""
    target, draft = llamas
    right, _ = decoded(target, ModelDraft(draft), "rejection", "batched", (1, 1, 1))
    tamper(monkeypatch)
    wrong, _ = decoded(target, ModelDraft(draft), "rejection", "triton", (1, 1, 1))
    assert right != wrong


def tamper(monkeypatch):
    """From now on the kernels are told a sharper draft law than the one that was drawn from."""
    real = triton_verifier.verify_chain_on_device

    def sharpened(target, draft, *others):
        again = triton_verifier.weigh(draft.logits, draft.temperature[..., 0] / 2, torch.float64)
        return real(target, again, *others)

    monkeypatch.setattr(triton_verifier, "verify_chain_on_device", sharpened)


# -- the law of the output -----------------------------------------------------------------------


class Grid(Tape):
    """Every number is the middle of one of a few intervals, named by digits.

    Where all thresholds of the laws lie on the ends of such intervals, a count over all digits is
    the exact law. What is read for one position of the text shares its digits: here a draft is
    drawn there anew only after one that was never looked at.

    Args:
        digits: (digit, intervals) by (purpose, position, entry); by purpose alone for all else.
    """

    def __init__(self, digits):
        super().__init__(0)
        self.digits = digits

    def uniforms(self, key, count):
        found = []
        for entry in range(count):
            address = (key.purpose, key.step + key.row, entry)
            own = self.digits.get(address, self.digits.get(key.purpose, (0, 1)))
            found.append((own[0] + 0.5) / own[1])
        return np.array(found)


def counted(decoder, length, intervals, told):
    """Share of all grids that gives each text, of which the first ``told`` tokens are looked at."""
    keys = list(intervals)
    every = product(*(range(intervals[key]) for key in keys))
    grids = [
        Grid({key: (digit, intervals[key]) for key, digit in zip(keys, digits, strict=True)})
        for digits in every
    ]
    done = decoder.generate([Request([0], length, tape=grid) for grid in grids])
    counts = Counter(tuple(one.tokens[:told]) for one in done)
    return {text: Fraction(count, len(grids)) for text, count in counts.items()}


def chain_law(table, length):
    """Law of texts behind token 0, by the chain rule."""
    law = {}
    for text in product(range(len(table)), repeat=length):
        steps = zip((0, *text), text, strict=False)
        law[text] = np.prod([table[last, token] for last, token in steps])
    return law


def test_the_law_of_a_chain_is_the_targets_exactly():
    """Two drafts a step; accept tests on halves, residuals of one token."""
    table = np.array([[3, 1], [1, 3]]) * Fraction(1, 4)
    kinds = (Purpose.DRAFT, Purpose.VERDICT)
    intervals = {(kind, position, 0): 2 for position in range(2) for kind in kinds}
    decoder = by_kernels(table, (1, 1))
    assert counted(decoder, 3, {**intervals, Purpose.TOKEN: 4}, 3) == chain_law(table, 3)


def test_the_law_of_a_residual_is_the_targets_exactly(monkeypatch):
    """One draft among four tokens; the residual is on two of them, three to one."""
    table = np.array([np.roll([7, 5, 2, 2], by) for by in range(4)]) * Fraction(1, 16)
    entries = [(Purpose.DRAFT, 0), (Purpose.VERDICT, 0), (Purpose.VERDICT, 1)]
    intervals = {(kind, 0, entry): 4 for kind, entry in entries}
    decoder, law = by_kernels(table, (1,)), chain_law(table, 1)
    assert counted(decoder, 2, intervals, 1) == law
    reuse(monkeypatch)
    assert counted(decoder, 2, intervals, 1) != law


def by_kernels(table, branching):
    """A decoder of order-1 models, the draft's laws uniform."""
    start = np.full(len(table), 1 / len(table))
    target, draft = TabularModel([start, table.astype(float)]), TabularModel([start])
    return Decoder(target, ModelDraft(draft), branching=branching, batch=64, executor="triton")


def reuse(monkeypatch):
    """From now on the residual is drawn by the number that decided the draft."""
    real = triton_verifier.verify_chain_on_device

    def reused(target, draft, drafts, uniforms, lengths):
        return real(target, draft, drafts, uniforms[..., :1].expand(uniforms.shape), lengths)

    monkeypatch.setattr(triton_verifier, "verify_chain_on_device", reused)


def pairs(count):
    """The first two tokens of many requests by the optimal rule for two drafts, and their law."""
    rng = np.random.default_rng(3)
    target, draft = (TabularModel.random(3, m, rng, exact=False) for m in (2, 1))
    decoder = Decoder(
        target,
        ModelDraft(draft),
        rule="optimal_iid",
        branching=(2,),
        batch=count,
        executor="triton",
    )
    requests = [Request([0, 1], 2, seed, draft_sampling=SHARP) for seed in range(count)]
    done = decoder.generate(requests)
    law = [
        target.law([0, 1])[first] * target.law([0, 1, first])[second]
        for first, second in product(range(3), repeat=2)
    ]
    return np.array([one.tokens[0] * 3 + one.tokens[1] for one in done]), np.array(law)


def test_streams_of_the_optimal_rule_follow_the_target(monkeypatch):
    """Sequential test of the joint law of two tokens at false alarm 1e-6, and what it must see."""
    assert not audit_law(*pairs(100), alpha=1e-6).biased
    real = triton_verifier.optimal_iid_on_device

    def plain(target, draft, *others):
        told = triton_verifier.weigh(draft.logits, 1 / SHARP.temperature, torch.float64)
        return real(target, told, *others)

    monkeypatch.setattr(triton_verifier, "optimal_iid_on_device", plain)
    assert audit_law(*pairs(100), alpha=1e-6).biased


# -- laws and refusals ---------------------------------------------------------------------------


def test_a_law_given_as_such_keeps_its_zeros_and_its_sums():
    law = np.array([0.0, 0.25, 0.0, 0.75])
    tree = DraftTree()
    tree.add(ROOT, [1], law)
    held = triton_verifier.kernel_laws([tree.origin(ROOT)] * 2, torch.device(DEVICE))
    assert isinstance(held, LogitLaws)
    np.testing.assert_allclose(held.dense().cpu().numpy(), [law, law], rtol=1e-15)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_kernel_laws_are_the_laws_of_the_rows(sampling):
    logits = np.random.default_rng(0).normal(size=(3, V)) * 3
    rows = LogitRows(torch.as_tensor(logits, device=DEVICE))
    origins = [Origin(rows, 0, PLAIN), Origin(rows, 2, sampling)]
    held = triton_verifier.kernel_laws(origins, torch.device(DEVICE))
    for law, origin in zip(held.dense().cpu().numpy(), origins, strict=True):
        np.testing.assert_allclose(law, rows.law(origin.row, origin.sampling), rtol=1e-12)


@pytest.mark.parametrize("rule", ["k_seq", "recursive"])
def test_rules_without_kernels_are_refused(rule):
    with pytest.raises(InputError, match=f"'triton', which rule `{rule}` does not have"):
        verifier_for(rule, None, "triton")
