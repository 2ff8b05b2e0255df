"""A drafter that follows its target drafts, trained and untrained, what its definition says."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from spectheory.decoding.decoder import Decoder, Request  # noqa: E402
from spectheory.decoding.distil import distil  # noqa: E402
from spectheory.decoding.distil_drafter import DistilledDrafter, Recipe  # noqa: E402
from spectheory.decoding.drafts import draft_source  # noqa: E402
from spectheory.decoding.following import FollowingDraft, FollowingDrafter  # noqa: E402
from spectheory.decoding.foresight import laws_along  # noqa: E402
from spectheory.decoding.sampling import Sampling  # noqa: E402
from spectheory.decoding.tabular import TabularModel  # noqa: E402
from spectheory.decoding.verifier import LevelByLevel  # noqa: E402
from spectheory.drafting.scheme import scheme  # noqa: E402
from spectheory.errors import InputError  # noqa: E402
from spectheory.training import Training  # noqa: E402
from spectheory.verification.rule import rule  # noqa: E402
from tests.decoding.tiny_drafter import TOKENS, plan, tiny  # noqa: E402


def perturbed(drafter):
    """As after training: away from the initial weights."""
    with torch.no_grad():
        for part in drafter.parts.parameters():
            part += 0.1 * torch.randn(part.shape, generator=torch.Generator().manual_seed(1))
    return drafter


def state(target, tokens):
    """The target's ``(T, size)`` states, by its own pass."""
    with torch.no_grad():
        return target.module.base_model(torch.tensor(tokens)[None]).last_hidden_state[0]


def test_a_following_drafter_drafts_what_its_definition_says(target):
    """Each draft's law, recomputed from the whole text without cache or mask."""
    drafter = perturbed(FollowingDrafter(target, Recipe((-1,), follows=True)))
    embed, join = target.module.get_input_embeddings(), drafter.parts["join"]

    def said(text, ahead):
        """State behind the last token, the last ``ahead`` of the text being drafts."""
        known = state(target, text[: len(text) - 1 - ahead])
        for _ in range(ahead + 1):
            read = join(known, embed(torch.tensor(text[1 : len(known) + 1])))
            places = torch.arange(len(known))[None]
            out = drafter._body(inputs_embeds=read[None], position_ids=places).last_hidden_state
            known = torch.cat([known, out[0, -1:]])
        return known[-1]

    class Watching(LevelByLevel):
        def __call__(self, batch):
            seen.extend((list(d.tree.tokens), d.tree.parents, d.tree.laws) for d in batch)
            return super().__call__(batch)

    seen = []
    verifier = Watching(rule("k_seq"))
    source = FollowingDraft(drafter)
    decoder = Decoder(target, source, branching=(2, 1, 1), rule=verifier)
    text = list(TOKENS)
    checked = 0
    for emission in decoder.stream([Request(TOKENS, 30, seed=3)]):
        tokens, parents, declared = seen.pop()
        for node, law in declared.items():
            path = []
            while node >= 0:
                path.insert(0, tokens[node])
                node = parents[node]
            with torch.no_grad():
                logits = target.module.get_output_embeddings()(said(text + path, len(path)))
            np.testing.assert_allclose(law, logits.softmax(dim=-1).numpy(), atol=2e-5)
            checked += 1
        text += emission.tokens
    assert checked > 50
    assert max(decoder.statistics.lengths) > 0


def test_what_a_following_drafter_would_draft_along_a_text(target):
    """Laws along a text are those that the decoder's first draft has at each place."""
    source = FollowingDraft(perturbed(FollowingDrafter(target, Recipe((-1,), follows=True))))
    declared = {}

    class Watching(LevelByLevel):
        def __call__(self, batch):
            declared[len(text)] = batch[0].tree.laws.get(-1)
            return super().__call__(batch)

    text = list(TOKENS)
    decoder = Decoder(target, source, branching=(1, 1), rule=Watching(rule("rejection")))
    for emission in decoder.stream([Request(TOKENS, 20, seed=5)]):
        text += emission.tokens
    found = laws_along(target, source, text, 8, scheme=scheme("iid"), sampling=Sampling())
    drafted = {8 + row: draft for row, (_, draft, _) in enumerate(found)}
    both = [place for place in declared if declared[place] is not None and place in drafted]
    assert len(both) > 8
    for place in both:
        np.testing.assert_allclose(declared[place], drafted[place], atol=2e-5)


def test_training_a_following_drafter_reads_what_drafting_reads(target):
    drafter = perturbed(FollowingDrafter(target, Recipe((0, -1), follows=True)))
    states = state(target, TOKENS)[None]
    tokens = torch.tensor(TOKENS)[None]
    with torch.no_grad():
        rows = drafter.states(tokens, states, passes=3)
        embed, join = target.module.get_input_embeddings(), drafter.parts["join"]
        for ahead in range(3):
            for place in range(ahead + 1, len(TOKENS)):
                known = states[0, : place - ahead]
                for _ in range(ahead + 1):
                    read = join(known, embed(tokens[0, 1 : len(known) + 1]))[None]
                    out = drafter._body(inputs_embeds=read, use_cache=False).last_hidden_state
                    known = torch.cat([known, out[0, -1:]])
                torch.testing.assert_close(rows[ahead][0, place], known[-1], atol=1e-4, rtol=1e-4)


def test_a_following_drafter_is_trained_saved_and_greedy_lossless(target, sources, tmp_path):
    changes = {"recipe": Recipe((-1,), follows=True), "tokens": 180, "loss": "kl"}
    training = Training(120, 1e-2, warmup=5, averaging=0.9)
    card = distil(target, plan(sources, training=training, **changes), tmp_path / "out")
    before, after = card["held_out_acceptance_before"], card["held_out_acceptance"]
    assert after["mean"] > before["mean"] + 3 * after["standard_error"]
    assert len(after["in_a_row"]) == 3
    assert after["in_a_row"][0] == after["mean"]
    source = draft_source(f"distil:{tmp_path / 'out'}", target)
    assert isinstance(source, FollowingDraft)
    requests = [Request(TOKENS[:n], m, sampling=Sampling(0)) for n, m in ((1, 15), (4, 9), (8, 15))]
    plain = Decoder(target).generate(requests)
    for branching in ((1, 1, 1), (1,)):
        drafted = Decoder(target, source, branching=branching, batch=3).generate(requests)
        assert [one.tokens for one in drafted] == [one.tokens for one in plain]
    target.speed_up()
    fast = Decoder(target, draft_source(f"distil:{tmp_path / 'out'}", target), branching=(1, 1))
    assert [one.tokens for one in fast.generate(requests)] == [one.tokens for one in plain]


def test_following_needs_states_to_follow(target):
    drafter = FollowingDrafter(target, Recipe((-1,), follows=True))
    table = TabularModel.random(257, 1, np.random.default_rng(0), exact=False)
    with pytest.raises(InputError, match="follows a transformer"):
        Decoder(table, FollowingDraft(drafter), branching=(1,)).generate([Request([1, 2], 3)])
    with pytest.raises(InputError, match=r"states of .* cannot be read"):
        Decoder(target.early_exit(2), FollowingDraft(drafter), branching=(1,)).generate(
            [Request([1, 2], 3)]
        )
    with pytest.raises(InputError, match=r"follows states of size 16; this target's have 8"):
        Decoder(tiny(size=8), FollowingDraft(drafter), branching=(1,)).generate(
            [Request([1, 2], 3)]
        )
    with pytest.raises(InputError, match="cannot follow"):
        DistilledDrafter(target, Recipe((0,), rank=2, follows=True))
