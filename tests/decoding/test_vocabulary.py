"""Drafts over another padded vocabulary: resized where the tokens are the same, else refused."""

from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.enumeration import exact_output
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.lookup_first import LookupFirst
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.ngram_draft import NgramDraft
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import LawRows, LogitRows
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.vocabulary import ResizedModel, fitted
from spectheory.errors import VocabularyMismatch

SIZES = [(3, 2), (2, 3)]


def tokenizer(*tokens):
    return SimpleNamespace(get_vocab=lambda: {text: i for i, text in enumerate(tokens)})


def model(size, seed, *tokens, exact=True):
    made = TabularModel.random(size, 1, np.random.default_rng(seed), exact=exact)
    if tokens:
        made.tokenizer = tokenizer(*tokens)
    return made


@pytest.mark.parametrize(("ours", "theirs"), SIZES)
@pytest.mark.parametrize(("branching", "rule"), [((1, 1), "rejection"), ((2, 1), "k_seq")])
def test_the_output_law_is_the_targets_exactly(ours, theirs, branching, rule):
    """Both pads count: a target whose padding has mass emits it, and the draft reads it."""
    target, draft = model(ours, 0, "a", "b"), model(theirs, 1, "a", "b")
    decoder = Decoder(target, ModelDraft(draft), rule=rule, branching=branching)
    law = exact_output(decoder, lambda tape: Request([0], 3, tape=tape))
    for tokens in product(range(ours), repeat=3):
        text = [0, *tokens]
        mass = [target.law(text[:t])[text[t]] for t in range(1, 4)]
        assert law.get(tokens, 0) == mass[0] * mass[1] * mass[2]
    assert 0 < decoder.statistics.accepted[0] < decoder.statistics.tested[0]


def test_laws_are_cut_and_renormalised_or_padded():
    third = np.array([Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)])
    rows = LawRows([third])
    assert rows.resized(2).law(0, Sampling()).tolist() == [Fraction(2, 3), Fraction(1, 3)]
    assert rows.resized(5).law(0, Sampling()).tolist() == [*third, 0, 0]
    torch = pytest.importorskip("torch")
    logits = np.log(third.astype(float))[None]
    for given in (logits, torch.as_tensor(logits)):
        cut, padded = (LogitRows(given).resized(size).law(0, Sampling()) for size in (2, 5))
        np.testing.assert_allclose(cut, [2 / 3, 1 / 3], rtol=1e-14)
        np.testing.assert_allclose(padded, [0.5, 0.25, 0.25, 0, 0], rtol=1e-14)


def test_a_draft_of_the_target_s_size_is_left_alone():
    target, draft = model(3, 0, "a", "b"), ModelDraft(model(3, 1, "a", "b"))
    assert fitted(draft, target) is draft
    resized = fitted(ModelDraft(model(4, 1, "a", "b")), target)
    assert isinstance(resized.model, ResizedModel)
    assert resized.vocab_size == 3
    behind = fitted(LookupFirst(PromptLookup(3), ModelDraft(model(4, 1, "a", "b"))), target)
    assert isinstance(behind.other.model, ResizedModel)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (ModelDraft(model(4, 1)), "is over 4 tokens, target"),
        (ModelDraft(model(4, 1, "a", "c")), "'b' is token 1 here, None there"),
        (ModelDraft(model(3, 1, "a", "b", "c")), "'c' is token None here, 2 there"),
        (NgramDraft(NgramModel(4, 2)), "is over 4 tokens, target"),
        (LookupFirst(PromptLookup(3), ModelDraft(model(3, 1, "a", "c"))), "'b' is token 1 here"),
        (LookupFirst(PromptLookup(4), ModelDraft(model(3, 1, "a", "b"))), "is over 4 tokens"),
    ],
)
def test_other_tokens_are_refused(source, reason):
    with pytest.raises(VocabularyMismatch, match=reason):
        Decoder(model(3, 0, "a", "b"), source, branching=(1,))


@pytest.mark.parametrize("theirs", [29, 33])
def test_transformers_with_other_padding(theirs):
    """The text is plain greedy decoding's, and sampled text is the same by both executors."""
    torch, transformers = (pytest.importorskip(name) for name in ("torch", "transformers"))
    from spectheory.decoding.transformer import TransformerModel

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    made = []
    for size in (31, theirs):
        torch.manual_seed(0)
        config = transformers.LlamaConfig(**sizes, vocab_size=size)
        module = transformers.LlamaForCausalLM(config)
        with torch.no_grad():
            module.lm_head.weight.mul_(20)
        made.append(TransformerModel(module, tokenizer("a", "b"), f"llama {size}"))
    target, source = made[0], ModelDraft(made[1])
    greedy = [Request([1, 30], 12, sampling=Sampling(0))]
    assert (
        Decoder(target, source, branching=(1, 1)).generate(greedy)[0].tokens
        == Decoder(target).generate(greedy)[0].tokens
    )
    sampled = [Request([1, 30], 12, seed=seed) for seed in range(3)]
    by_batch, by_definition = (
        Decoder(target, source, branching=(1, 1), batch=3, executor=executor)
        for executor in ("batched", "definition")
    )
    texts = [[one.tokens for one in d.generate(sampled)] for d in (by_batch, by_definition)]
    assert texts[0] == texts[1]
    assert by_batch.statistics.accepted[0] > 0
