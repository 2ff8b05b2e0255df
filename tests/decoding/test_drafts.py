"""Draft sources beside a model of their own: lookup, copying, n-grams, exits, pruned heads."""

import json
from itertools import product

import numpy as np
import pytest

from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import DraftJob, ModelDraft, draw_below
from spectheory.decoding.drafts import draft_source, shipped_drafters
from spectheory.decoding.enumeration import exact_output
from spectheory.decoding.lookup import InputCopy, PromptLookup, last_match
from spectheory.decoding.lookup_first import LookupFirst
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.ngram_draft import NgramDraft
from spectheory.decoding.sampling import PLAIN, Sampling
from spectheory.decoding.session import HeadTokens, LogitRows, PrunedRows
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.tape import Key, Purpose, Tape
from spectheory.decoding.tree import ROOT, DraftTree
from spectheory.decoding.verifier import Block
from spectheory.drafting.scheme import scheme
from spectheory.errors import InputError, TokenError, UnknownName, VocabularyMismatch

IID = scheme("iid")


def proposals(source, texts, length=3):
    """The chain that a source drafts behind each of several texts that grow from one another."""
    session = source.open(1)
    chains = []
    for text in texts:
        [tree] = session.propose([DraftJob(text, (1,) * length, PLAIN, Tape(0), len(text))], IID)
        chains.append(tree.tokens)
        session.settle([[]], [0])
    return chains


def test_a_tape_is_read_at_a_key_whatever_was_read_before():
    tape = Tape(2**64 - 1)
    keys = [Key(step, purpose, row) for step in (0, 5) for purpose in Purpose for row in (0, 3)]
    for key, count in [*product(keys, (1, 3, 6)), *product(keys[::-1], (2,))]:
        philox = np.random.Philox(
            key=np.array([2**64 - 1, 0], np.uint64),
            counter=np.array([0, key.row, key.purpose, key.step], np.uint64),
        )
        expected = np.random.Generator(philox).random(count)
        np.testing.assert_array_equal(tape.uniforms(key, count), expected)


@pytest.mark.parametrize("sampling", [PLAIN, Sampling(0.7, top_k=3), Sampling(0.0)])
@pytest.mark.parametrize("key", ["iid", "without_replacement", "distinct", "greedy"])
def test_draws_of_a_pruned_head_are_those_of_masked_logits(key, sampling):
    torch = pytest.importorskip("torch")
    tokens = np.array([1, 3, 4, 7, 8])
    for seed in range(50):
        few = torch.randn(1, 5, generator=torch.Generator().manual_seed(seed))
        whole = torch.full((1, 10), -torch.inf)
        whole[:, tokens] = few
        trees = [DraftTree(), DraftTree()]
        job = DraftJob([0], (3,), sampling, Tape(seed), 0)
        for tree, rows in zip(
            trees, (PrunedRows(few, HeadTokens(tokens, 10)), LogitRows(whole)), strict=True
        ):
            draw_below(job, tree, rows, [ROOT], 0, scheme(key))
        pruned, masked = trees
        assert pruned.drawn(ROOT) == masked.drawn(ROOT)
        np.testing.assert_allclose(pruned.laws[ROOT], masked.laws[ROOT], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("text", "suffix", "end"),
    [
        ([1, 2, 3, 1, 2], 2, 2),
        ([1, 2, 1, 2, 1, 2], 2, 4),  # the latest copy, which may overlap the suffix
        ([1, 1, 1], 2, 2),
        ([1, 2, 3], 1, None),
        ([1], 1, None),
        ([1, 2], 3, None),
    ],
)
def test_last_match(text, suffix, end):
    assert last_match(np.array(text), suffix) == end


def test_prompt_lookup_prefers_long_matches_and_copies_what_followed():
    source = PromptLookup(10, longest=2)
    assert proposals(source, [[1, 2, 3, 4, 2, 5, 1, 2]]) == [[3, 4, 2]]
    assert proposals(source, [[1, 2, 3, 4, 2, 5, 0, 2]]) == [[5, 0, 2]]
    assert proposals(source, [[1, 2, 3], [1, 2, 3, 7, 3]]) == [[], [7, 3]]
    with pytest.raises(InputError, match="shortest"):
        PromptLookup(10, longest=0)


def test_input_copy_follows_the_input_through_an_edit():
    prompt = [1, 2, 3, 4, 2, 5, 6]
    steps = [
        prompt,
        [*prompt, 1, 2],
        [*prompt, 1, 2, 9],
        [*prompt, 1, 2, 9, 2],
        [*prompt, 1, 2, 9, 2, 5],
    ]
    # The copy is lost at the 9, and found again at the 2 behind the loss, not at the first 2.
    assert proposals(InputCopy(10), steps) == [[1, 2, 3], [3, 4, 2], [], [5, 6], [6]]
    assert proposals(InputCopy(10), [[1, 2], [1, 2, 1, 2], [1, 2, 1, 2, 3]]) == [[1, 2], [], []]


def test_ngram_readers_learn_from_their_own_text_only():
    model = NgramModel(5, order=3)
    model.update([0, 1, 0, 1])
    before = model.law([0])
    one, other = model.reader(), model.reader()
    one.read([2, 3, 2, 3], 0)
    one.read([2, 3, 2, 3, 2], 4)
    taught = NgramModel(5, order=3)
    taught.update([0, 1, 0, 1])
    taught.update([2, 3, 2, 3, 2])
    for context in ([0], [2], [3, 2], [4]):
        np.testing.assert_allclose(one.law(context), taught.law(context), rtol=1e-14)
        np.testing.assert_array_equal(other.law(context), model.law(context))
    np.testing.assert_array_equal(model.law([0]), before)


def taught_ngram():
    model = NgramModel(3, order=3)
    model.update([0, 1, 2, 0, 1, 0])
    return NgramDraft(model)


def copies_first(levels=1):
    return LookupFirst(PromptLookup(3, 2, 2), taught_ngram(), levels)


@pytest.mark.parametrize(
    ("source", "rule", "branching", "scheme"),
    [
        (PromptLookup(3), "rejection", (1, 1), "iid"),
        (PromptLookup(3), Block(), (1, 1), "iid"),
        (PromptLookup(3), "greedy_optimal", (2, 1), "greedy"),
        (InputCopy(3), "rejection", (1, 1), "iid"),
        (InputCopy(3), "recursive_without_replacement", (2, 1), "without_replacement"),
        (taught_ngram(), "rejection", (1, 1), "iid"),
        (taught_ngram(), "recursive", (2,), "iid"),
        (copies_first(), "rejection", (1, 1), "iid"),
        (copies_first(2), "recursive", (2,), "iid"),
        (copies_first(2), "greedy_optimal", (2, 1), "greedy"),
    ],
)
def test_the_output_law_is_the_targets(source, rule, branching, scheme):
    """By enumeration, in float64."""
    target = TabularModel.random(3, 2, np.random.default_rng(1), zeros=0.2, exact=False)
    decoder = Decoder(target, source, rule=rule, branching=branching, scheme=scheme)
    prompt = [0, 1, 0]
    law = exact_output(decoder, lambda tape: Request(prompt, 3, tape=tape))
    for tokens in product(range(3), repeat=3):
        text = [*prompt, *tokens]
        mass = np.prod([target.law(text[:t])[text[t]] for t in range(3, 6)])
        assert abs(law.get(tokens, 0.0) - mass) < 1e-14


def test_copies_come_first_and_the_other_source_drafts_where_there_are_none():
    source = LookupFirst(PromptLookup(3, shortest=2), taught_ngram())
    session, other = source.open(2), taught_ngram().open(1)
    copied, alone = [0, 1, 2, 0, 1], [2, 2, 0]
    jobs = [DraftJob(text, (1, 1, 1), PLAIN, Tape(i), 0) for i, text in enumerate((copied, alone))]
    trees = session.propose(jobs, IID)
    assert [len(tree) for tree in trees] == [3, 1]
    assert trees[0].tokens == [2, 0, 1]
    [expected] = other.propose([jobs[1]._replace(branching=(1,))], IID)
    assert trees[1].tokens == expected.tokens
    np.testing.assert_array_equal(trees[1].laws[-1], expected.laws[-1])
    assert [session.offered(text, i) for i, text in enumerate((copied, alone))] == [3, 1]
    session.settle([[0], []], [0, 1])
    session.select([1])
    assert len(session.propose([jobs[1]._replace(branching=())], IID)[0]) == 0
    with pytest.raises(InputError, match="`levels` is 0"):
        LookupFirst(PromptLookup(3), taught_ngram(), levels=0)


def test_a_copying_task_is_decoded_in_few_passes():
    """A target that repeats its prompt for sure: every copied token is accepted."""
    cycle = np.zeros((7, 7))
    cycle[np.arange(7), (np.arange(7) + 1) % 7] = 1
    target = TabularModel([np.full(7, 1 / 7), cycle])
    prompt = [0, 1, 2, 3, 4, 5, 6]
    for source in (PromptLookup(7), InputCopy(7)):
        decoder = Decoder(target, source, branching=(1,) * 6)
        [done] = decoder.generate([Request(prompt, 7)])
        assert done.tokens == prompt
        # Lookup has seen no copy of the last token before the first pass.
        assert decoder.statistics.calls == (2 if isinstance(source, PromptLookup) else 1)


# -- cut from a transformer ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from spectheory.decoding.transformer import TransformerModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
    module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
    return TransformerModel(module, tokenizer=None, name="llama")


def test_a_pruned_head_is_the_draft_renormalised(llama):
    from spectheory.decoding.pruned_head import PrunedHead
    from spectheory.decoding.session import Nodes

    exit_two, kept = llama.early_exit(2), np.array([9, 2, 30, 2])
    [rows] = PrunedHead(exit_two, kept).session(1).extend([Nodes.chain([3, 1, 4], 2)])
    full = exit_two.logits([3, 1, 4]).astype(np.float64)
    for row in (0, 1):
        law = rows.law(row, PLAIN)
        assert np.flatnonzero(law).tolist() == [2, 9, 30]
        weights = np.exp(full[row + 1, [2, 9, 30]])
        np.testing.assert_allclose(law[[2, 9, 30]], weights / weights.sum(), rtol=1e-5)
    with pytest.raises(TokenError, match="below 31"):
        PrunedHead(exit_two, np.array([31]))


@pytest.mark.parametrize("branching", [(1, 1, 1), (3, 1, 1), (2, 2)])
def test_greedy_decoding_with_every_draft_is_the_targets_greedy_text(llama, branching):
    from spectheory.decoding.pruned_head import PrunedHead

    ngram = NgramModel(31, order=3)
    ngram.update([1, 2, 3, 4])
    exit_two = llama.early_exit(2)
    sources = [exit_two, PrunedHead(exit_two, np.arange(12)), llama]
    drafts = [*map(ModelDraft, sources), NgramDraft(ngram), PromptLookup(31), InputCopy(31)]
    requests = [
        Request(prompt, length, sampling=Sampling(temperature=0), draft_sampling=PLAIN)
        for prompt, length in [([3, 1, 4], 9), ([5], 4), ([9, 2, 6, 5, 3], 14)]
    ]
    plain = [one.tokens for one in Decoder(llama).generate(requests)]
    for prompt, tokens in zip(requests, plain, strict=True):
        text = [*prompt.prompt, *tokens]
        follows = llama.logits(text[:-1]).argmax(axis=-1)[len(prompt.prompt) - 1 :]
        assert follows.tolist() == tokens
    for source in drafts:
        decoder = Decoder(llama, source, rule="recursive", branching=branching, batch=3)
        assert [one.tokens for one in decoder.generate(requests)] == plain


def test_a_draft_of_another_tokenizer_is_refused(llama):
    class Tokenizer:
        def __init__(self, first):
            self.first = first

        def get_vocab(self):
            return {self.first: 0, "b": 1}

    other = type(llama)(llama.module, Tokenizer("z"), "other")
    ours = type(llama)(llama.module, Tokenizer("a"), "ours")
    with pytest.raises(VocabularyMismatch, match="'a' is token 0 here, None there"):
        Decoder(ours, ModelDraft(other), branching=(1,))
    Decoder(ours, ModelDraft(type(llama)(llama.module, Tokenizer("a"), "same")), branching=(1,))


@pytest.mark.models
def test_the_drafter_that_comes_with_the_package(smollm2):
    """It drafts better than chance, greedy output stays the target's, and its card is its own."""
    from spectheory.decoding.following import FollowingDraft

    source = draft_source("distil", smollm2)
    assert isinstance(source, FollowingDraft)
    text = smollm2.encode('def add(a, b):\n    """Return the sum of a and b."""\n')
    request = Request(text, 24, sampling=Sampling(0))
    [plain] = Decoder(smollm2).generate([request])
    decoder = Decoder(smollm2, source, branching=(1, 1))
    [drafted] = decoder.generate([request])
    assert drafted.tokens == plain.tokens
    assert decoder.statistics.calls < 24
    card = json.loads((shipped_drafters()["smollm2"] / "card.json").read_text())
    weights = shipped_drafters()["smollm2"] / "drafter.safetensors"
    assert card["weights_bytes"] == weights.stat().st_size < 25e6
    assert card["target"] == "smollm2"


def test_a_draft_model_is_read_in_the_target_s_type(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.decoding.tiny_drafter import tiny

    target = tiny()
    target.module.save_pretrained(tmp_path)
    target.tokenizer.save_pretrained(tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        target.module.to(dtype)
        assert draft_source(str(tmp_path), target).model.module.dtype == dtype


@pytest.mark.parametrize("name", ["lookup:x", "copy:a.txt", "none:1x", "ngram:four", "lookup:-3"])
def test_misspelt_parameters_are_no_other_source(name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.decoding.tiny_drafter import tiny

    with pytest.raises(UnknownName, match=f"no draft `{name}`"):
        draft_source(name, tiny())


def test_no_drafter_comes_for_another_model():
    class Other:
        name = "other"

    with pytest.raises(UnknownName, match=r"no drafter for `other` comes .* only for smollm2"):
        draft_source("distil", Other())
