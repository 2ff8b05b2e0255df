"""The decoding loop on tabular models, where its output law is known exactly."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from spectheory.audit.sequential import audit_law
from spectheory.decoding.decoder import Completion, Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.enumeration import KeyReuse, exact_output
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.lookup_first import LookupFirst
from spectheory.decoding.sampling import PLAIN, Sampling
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.tape import Key, Purpose, Tape
from spectheory.decoding.verifier import Block, LevelByLevel
from spectheory.errors import (
    ContextTooLong,
    InputError,
    SchemeMismatch,
    TokenError,
    VocabularyMismatch,
)
from spectheory.verification.typical import Typical

PROMPT = [0, 1]


def models(size=2, *, zeros=0.2, exact=True, seed=3):
    rng = np.random.default_rng(seed)
    target = TabularModel.random(size, 2, rng, zeros=zeros, exact=exact, name="target")
    return target, TabularModel.random(size, 1, rng, exact=exact, name="draft")


def stream_law(model, length, stop=frozenset(), sampling=PLAIN):
    """Law of the tokens behind the prompt, by the chain rule."""
    law = {}
    for tokens in product(range(model.vocab_size), repeat=length):
        mass, text = Fraction(1), list(PROMPT)
        for count, token in enumerate(tokens, 1):
            mass *= sampling.of_law(model.law(text))[token]
            text.append(token)
            if token in stop:
                tokens = tokens[:count]
                break
        if mass:
            law[tokens] = mass
    return law


def exact_law(decoder, length, **options):
    return exact_output(decoder, lambda tape: Request(PROMPT, length, tape=tape, **options))


CHAINS = [((1, 1), "rejection"), ((1, 1), "recursive"), ((1, 1), Block()), ((1, 1, 1), Block())]
TREES = [((2, 1), "recursive"), ((2, 1), "k_seq"), ((3, 1), "recursive"), ((2, 2), "nss")]


@pytest.mark.parametrize(("branching", "rule"), [((), "rejection"), *CHAINS, *TREES])
def test_the_output_law_is_the_targets_exactly(branching, rule):
    target, draft = models()
    decoder = Decoder(target, ModelDraft(draft), rule=rule, branching=branching)
    assert exact_law(decoder, 3) == stream_law(target, 3)


@pytest.mark.parametrize("rule", ["rejection", Block()])
def test_three_tokens_and_drafts_of_their_own_support(rule):
    rng = np.random.default_rng(0)
    target, draft = (TabularModel.random(3, m, rng, zeros=0.4) for m in (1, 1))
    decoder = Decoder(target, ModelDraft(draft), rule=rule, branching=(1, 1))
    assert exact_law(decoder, 3) == stream_law(target, 3)


def test_without_replacement():
    target, draft = models(3, zeros=0.0)
    decoder = Decoder(
        target,
        ModelDraft(draft),
        scheme="without_replacement",
        rule="recursive_without_replacement",
        branching=(2, 1),
    )
    assert exact_law(decoder, 2) == stream_law(target, 2)


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize(
    ("scheme", "rule"),
    [
        ("without_replacement", "recursive_without_replacement"),
        ("greedy", "greedy_optimal"),
        ("greedy", "spechub"),
    ],
)
def test_drafts_that_keep_fewer_tokens_than_are_drawn(scheme, rule, most):
    """A truncated draft law may hold no k distinct tokens: all it has are drafted."""
    target, draft = models(3, zeros=0.0)
    count = 2 if rule == "spechub" else 3
    decoder = Decoder(target, ModelDraft(draft), scheme=scheme, rule=rule, branching=(count,))
    law = exact_law(decoder, 2, draft_sampling=Sampling(top_k=most))
    assert law == stream_law(target, 2)
    assert max(len(path) for path in law) == 2


def test_stop_tokens_and_sampling_parameters():
    target, draft = models(3)
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1))
    stop, sampling = frozenset([1]), Sampling(top_k=2)
    law = exact_law(decoder, 3, stop=stop, sampling=sampling, draft_sampling=Sampling(top_p=0.9))
    assert law == stream_law(target, 3, stop, sampling)
    assert any(len(tokens) < 3 for tokens in law)


def test_a_lossy_rule_shows_in_the_exact_law():
    target, draft = models(3)
    decoder = Decoder(target, ModelDraft(draft), rule=LevelByLevel(Typical()), branching=(1, 1))
    law, truth = exact_law(decoder, 2), stream_law(target, 2)
    assert sum(law.values()) == 1
    assert sum(abs(law.get(t, 0) - truth.get(t, 0)) for t in {*law, *truth}) > Fraction(1, 20)


def test_a_key_that_is_read_twice_is_found(monkeypatch):
    """Keys by something that repeats, as positions do after a rejection, are refused."""
    target, draft = models()
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1))
    real = decoder._job
    monkeypatch.setattr(decoder, "_job", lambda one: real(one)._replace(step=0))
    with pytest.raises(KeyReuse):
        exact_law(decoder, 3)


# -- on the real tape --------------------------------------------------------------------------


def sampled_pairs(decoder, count, tape=Tape):
    """The first two tokens of many requests, as one number."""
    size = decoder.target.vocab_size
    done = decoder.generate([Request(PROMPT, 2, tape=tape(seed)) for seed in range(count)])
    return np.array([one.tokens[0] * size + one.tokens[1] for one in done])


def pair_law(target):
    law = stream_law(target, 2)
    size = target.vocab_size
    return np.array([float(law.get(t, 0)) for t in product(range(size), repeat=2)])


class SharedNoise(Tape):
    """The accept test reads the number that drew the draft."""

    def uniforms(self, key, count):
        if key.purpose is Purpose.VERDICT:
            key = Key(key.step, Purpose.DRAFT, key.row)
        return super().uniforms(key, count)


@pytest.mark.parametrize(
    ("branching", "rule", "draws"),
    [
        ((1, 1), "rejection", 3000),
        ((1, 1), Block(), 3000),
        ((2, 1), "recursive", 1500),
        ((2, 1), "optimal_iid", 500),
    ],
)
def test_sampled_streams_follow_the_target(branching, rule, draws):
    """Sequential test of the joint law of two tokens at false alarm 1e-6."""
    target, draft = models(3, exact=False)
    decoder = Decoder(target, ModelDraft(draft), rule=rule, branching=branching, batch=50)
    tokens = sampled_pairs(decoder, draws)
    assert not audit_law(tokens, pair_law(target), alpha=1e-6).biased


def test_noise_shared_by_draft_and_accept_test_is_caught():
    target, draft = models(3, exact=False)
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1))
    tokens = sampled_pairs(decoder, 1500, SharedNoise)
    assert audit_law(tokens, pair_law(target), alpha=1e-6).biased


def test_a_request_is_the_same_alone_and_in_a_batch():
    target, draft = models(4, exact=False)
    requests = [
        Request([0] * (1 + seed % 3), 3 + 4 * seed, seed=seed, stop=frozenset([3] * (seed == 4)))
        for seed in range(6)
    ]
    for branching, rule in [((1, 1, 1), "rejection"), ((3, 1), "recursive"), ((1, 1), Block())]:
        made = {
            batch: Decoder(
                target, ModelDraft(draft), rule=rule, branching=branching, batch=batch
            ).generate(requests)
            for batch in (1, 4, 6)
        }
        for alone, together, all_six in zip(*made.values(), strict=True):
            assert alone.tokens == together.tokens == all_six.tokens
            assert alone.statistics == together.statistics == all_six.statistics
        assert [len(one.tokens) for one in made[1][:4]] == [3, 7, 11, 15]
        assert made[1][4].finish == ("stop" if made[1][4].tokens[-1] == 3 else "length")


def test_seeds_differ():
    target, draft = models(4, exact=False)
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1))
    done = decoder.generate([Request(PROMPT, 20, seed=seed) for seed in (0, 0, 1)])
    assert done[0].tokens == done[1].tokens != done[2].tokens


def test_greedy_is_the_targets_own_greedy_text():
    target, draft = models(5, exact=False)
    greedy = Sampling(temperature=0)
    for branching in [(), (1, 1, 1)]:
        decoder = Decoder(target, ModelDraft(draft), branching=branching)
        [done] = decoder.generate([Request(PROMPT, 12, sampling=greedy)])
        text = list(PROMPT)
        for token in done.tokens:
            assert token == int(np.argmax(target.law(text)))
            text.append(token)


def test_streaming_adds_up_and_statistics_count():
    target, draft = models(4, exact=False)
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1, 1), batch=2)
    requests = [Request(PROMPT, 30, seed=seed) for seed in range(3)]
    counted = [Completion() for _ in requests]
    texts, calls = [[], [], []], 0
    for emission in decoder.stream(requests, counted):
        texts[emission.request] += emission.tokens
        calls += 1
    assert texts == [one.tokens for one in decoder.generate(requests)]
    statistics = counted[0].statistics
    for other in counted[1:]:
        statistics.add(other.statistics)
    assert statistics.calls == calls == sum(statistics.lengths.values())
    assert statistics.emitted == 90
    assert statistics.tested[0] >= statistics.accepted[0] >= statistics.tested[1]
    # Each pass emits its accepted drafts and one token more.
    assert calls + sum(n * count for n, count in statistics.lengths.items()) == 90


def test_conditional_acceptance_is_the_overlap():
    """Drafts and target without context: each depth is accepted with probability 1 - TV."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    decoder = Decoder(
        TabularModel([p]), ModelDraft(TabularModel([q])), branching=(1, 1, 1), batch=100
    )
    decoder.generate([Request([0], 40, seed=seed) for seed in range(50)])
    seen = decoder.statistics
    for depth, rate in enumerate(seen.conditional_acceptance()):
        # Hoeffding: off by more than this with probability 1e-6.
        assert abs(rate - 0.7) < np.sqrt(np.log(2e6) / 2 / seen.tested[depth])
    assert seen.tested[0] < seen.calls  # the last pass of a text has no room for a draft


# -- refusals ------------------------------------------------------------------------------------


def test_refusals():
    target, draft = models()
    source = ModelDraft(draft)
    decoder = Decoder(target, source, branching=(1,))
    with pytest.raises(TokenError, match="request 1: `tokens` is empty"):
        decoder.generate([Request([0], 1), Request([], 1)])
    with pytest.raises(TokenError, match="outside the vocabulary"):
        decoder.generate([Request([2], 1)])
    with pytest.raises(InputError, match="`new_tokens` is 0"):
        decoder.generate([Request([0], 0)])
    with pytest.raises(InputError, match="`branching`"):
        Decoder(target, source, branching=(0,))
    with pytest.raises(SchemeMismatch, match="rule `rejection` does not"):
        Decoder(target, source, branching=(2, 1))
    with pytest.raises(SchemeMismatch, match="one chain"):
        Decoder(target, source, rule=Block(), branching=(2,))
    with pytest.raises(SchemeMismatch, match="recursive_without_replacement"):
        Decoder(target, source, rule="recursive_without_replacement", branching=(2,))
    for verifier in ("rejection", "recursive", Block()):
        with pytest.raises(SchemeMismatch, match="a law of its own"):
            Decoder(target, source, rule=verifier, scheme="heterogeneous", branching=(1,))
    with pytest.raises(VocabularyMismatch, match="over 3 tokens, target"):
        Decoder(target, ModelDraft(models(3)[1]), branching=(1,))
    with pytest.raises(InputError, match="seed"):
        Tape(-1)


def test_the_context_ends_a_text():
    target, draft = models()
    target.context = 6
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1))
    [done] = decoder.generate([Request([0, 1, 1], 50)])
    assert (len(done.tokens), done.finish) == (3, "context")
    with pytest.raises(ContextTooLong, match="at most 5 leave room"):
        decoder.generate([Request([0] * 6, 1)])


@pytest.mark.parametrize("context", [1, 2, 3, 4])
def test_a_text_beyond_the_context_of_its_draft_goes_on_without_drafts(context):
    target, draft = models()
    draft.context = context
    decoder = Decoder(target, ModelDraft(draft), branching=(1, 1))
    assert exact_law(decoder, 4) == stream_law(target, 4)
    assert (decoder.statistics.drafted > 0) == (context >= len(PROMPT))


def test_a_draft_model_reads_no_position_that_it_does_not_have():
    """GPT-2 has a table of positions, so one too many is an error."""
    torch, transformers = (pytest.importorskip(name) for name in ("torch", "transformers"))
    from spectheory.decoding.transformer import TransformerModel

    torch.manual_seed(0)
    target, draft = (
        TransformerModel(
            transformers.GPT2LMHeadModel(
                transformers.GPT2Config(
                    vocab_size=31, n_positions=positions, n_embd=16, n_layer=1, n_head=2,
                    bos_token_id=0, eos_token_id=0,
                )
            ),
            None,
            f"{positions} positions",
        )
        for positions in (64, 16)
    )  # fmt: skip
    requests = [Request(np.arange(n), 40, sampling=Sampling(0)) for n in (3, 14, 20)]
    for other in (ModelDraft(draft), LookupFirst(PromptLookup(31), ModelDraft(draft))):
        decoder = Decoder(target, other, branching=(1, 1, 1), batch=3)
        found = decoder.generate(requests)
        for plain, one in zip(Decoder(target).generate(requests), found, strict=True):
            assert one.tokens == plain.tokens
