"""The decoder on SmolLM2: its tokens follow the target's own law, and greedy text is greedy."""

import numpy as np
import pytest
import torch

from spectheory.audit.stream import StreamAudit
from spectheory.audit.stream_steps import Steps
from spectheory.batched.laws import truncated
from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.draft_source import ModelDraft
from spectheory.decoding.executors import verifier_for
from spectheory.decoding.lookup import PromptLookup
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.ngram_draft import NgramDraft
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import Nodes
from spectheory.decoding.verifier import Block, LevelByLevel
from spectheory.verification.threshold import Threshold

pytestmark = pytest.mark.models

TEXT = "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci("


@pytest.fixture(scope="module")
def taught(smollm2):
    model = NgramModel(smollm2.vocab_size, order=4)
    model.update(smollm2.encode(TEXT * 3))
    return NgramDraft(model)


def test_a_tree_is_read_as_each_path_alone(smollm2):
    tokens = smollm2.encode(TEXT)
    session = smollm2.session(2)
    session.extend([Nodes.chain(tokens[:8], 0), Nodes.chain(tokens[:5], 0)])
    session.keep([range(8), range(5)])
    first, second = session.extend(
        [Nodes([10, 20, 30, 40], [-1, 0, 0, 2], 4), Nodes([50], [-1], 1)]
    )
    for row, path in enumerate([[10], [10, 20], [10, 30], [10, 30, 40]]):
        alone = smollm2.logits([*tokens[:8], *path])[-1]
        np.testing.assert_allclose(first.logits[row], alone, atol=2e-3)
    alone = smollm2.logits([*tokens[:5], 50])[-1]
    np.testing.assert_allclose(second.logits[0], alone, atol=2e-3)
    session.keep([[0, 2, 3], []])
    first, second = session.extend([Nodes([60], [-1], 1), Nodes([70], [-1], 1)])
    alone = smollm2.logits([*tokens[:8], 10, 30, 40, 60])[-1]
    np.testing.assert_allclose(first.logits[0], alone, atol=2e-3)
    alone = smollm2.logits([*tokens[:5], 70])[-1]
    np.testing.assert_allclose(second.logits[0], alone, atol=2e-3)


def test_greedy_text_is_the_plain_greedy_text(smollm2, taught):
    requests = [
        Request(smollm2.encode(text), 12, sampling=Sampling(0), draft_sampling=Sampling())
        for text in (TEXT, "The capital of France is")
    ]
    plain = [one.tokens for one in Decoder(smollm2).generate(requests)]
    for request, tokens in zip(requests, plain, strict=True):
        text = np.array([*request.prompt, *tokens])
        follows = smollm2.logits(text[:-1]).argmax(axis=-1)[len(request.prompt) - 1 :]
        assert follows.tolist() == tokens
    for source, branching, batch in [
        (PromptLookup(smollm2.vocab_size), (1, 1, 1), 1),
        (taught, (2, 1), 2),
        (ModelDraft(smollm2.early_exit(26)), (1, 1), 2),
    ]:
        decoder = Decoder(smollm2, source, rule="recursive", branching=branching, batch=batch)
        assert [one.tokens for one in decoder.generate(requests)] == plain


SAMPLINGS = [Sampling(), Sampling(0.7, top_p=0.9), Sampling(0.8, top_k=50)]


@pytest.mark.parametrize("rule", ["rejection", "k_seq", "recursive"])
def test_sampled_text_of_the_batched_executor_is_the_definition_s(smollm2, taught, rule):
    branching = (1, 1) if rule == "rejection" else (3, 1)
    text = smollm2.encode(TEXT)
    requests = [Request(text, 12, seed=n, sampling=s) for n, s in enumerate(SAMPLINGS)]
    texts = []
    for executor in ("definition", "batched"):
        verifier = verifier_for(rule, smollm2, executor)
        decoder = Decoder(smollm2, taught, rule=verifier, branching=branching)
        texts.append([one.tokens for one in decoder.generate(requests)])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("sampling", SAMPLINGS[1:], ids=str)
def test_truncated_laws_of_real_logits_are_the_definition_s(smollm2, sampling):
    """Bit for bit, and with the same list of kept tokens."""
    logits = torch.from_numpy(smollm2.logits(smollm2.encode(TEXT)))
    found = truncated(logits, sampling.temperature, sampling.top_k, sampling.top_p)
    for row, law, kept in zip(logits, found.dense().numpy(), found.kept, strict=True):
        defined = sampling.of_logits(row).numpy()
        assert (law == defined).all()
        assert (kept == np.flatnonzero(defined)).all()


def audited(smollm2, taught, rule):
    """Stream audit of sampled texts against the model's own teacher-forced laws."""
    decoder = Decoder(smollm2, taught, rule=rule, branching=(1, 1), batch=8)
    requests = [Request(smollm2.encode(TEXT), 12, seed=seed) for seed in range(8)]
    steps = [[] for _ in requests]
    for emission in decoder.stream(requests):
        steps[emission.request].append(emission)
    audit = StreamAudit(alpha=1e-6)
    for request, emissions in zip(requests, steps, strict=True):
        text = [*request.prompt.tolist(), *(t for e in emissions for t in e.tokens)]
        laws = Sampling().of_logits(smollm2.logits(text[:-1]))
        reader, at = taught.model.reader(), len(request.prompt)
        reader.read(text[:at], 0)
        shape = (len(emissions), 3)
        tokens, target = np.zeros(shape, np.int64), np.zeros((*shape, laws.shape[-1]))
        draft = np.zeros_like(target)
        for row, emission in enumerate(emissions):
            for column, token in enumerate(emission.tokens):
                tokens[row, column], target[row, column] = token, laws[at + column - 1]
                # Within a step the counts stand still, and the context moves on.
                draft[row, column] = reader.law(text[: at + column])
            reader.read(text[: at + len(emission.tokens)], at)
            at += len(emission.tokens)
        counts, drafted = (
            np.array(values)
            for values in zip(*((len(e.tokens), e.drafted) for e in emissions), strict=True)
        )
        index = np.full(len(emissions), request.seed)
        audit.update(Steps(index, tokens, counts, drafted, target, draft))
    return decoder.statistics, audit.report()


@pytest.mark.parametrize("rule", ["rejection", Block()])
def test_streams_follow_the_targets_law(smollm2, taught, rule):
    """False alarm 1e-6, by the audit's own claim."""
    seen, report = audited(smollm2, taught, rule)
    assert 10 < seen.accepted[0] < seen.tested[0]
    assert report.tokens == 96
    assert not report.biased, report


def test_a_draft_that_is_believed_is_caught_in_its_stream(smollm2, taught):
    """An accept test that always fires, as one with its uniform stuck at 0 does."""
    _, report = audited(smollm2, taught, LevelByLevel(Threshold(tau=0.0)))
    assert report.biased, report
