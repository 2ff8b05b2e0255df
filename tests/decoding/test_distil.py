"""A drafter of a tiny random model: its parts, its texts, its training and its files."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from spectheory.decoding.decoder import Decoder, Request  # noqa: E402
from spectheory.decoding.distil import (  # noqa: E402
    distil,
    held_out_acceptance,
    laws,
    target_states,
)
from spectheory.decoding.distil_corpus import Corpus, Text, corpus_of, generated, prompt_tokens  # noqa: E402
from spectheory.decoding.distil_drafter import (  # noqa: E402
    CARD,
    WEIGHTS,
    DistilledDrafter,
    Recipe,
    load_drafter,
)
from spectheory.decoding.drafts import draft_source  # noqa: E402
from spectheory.decoding.pruned_head import PrunedHead  # noqa: E402
from spectheory.decoding.sampling import Sampling  # noqa: E402
from spectheory.decoding.session import Nodes  # noqa: E402
from spectheory.errors import InputError, SourceUnavailable, UnknownName  # noqa: E402
from spectheory.training import Training  # noqa: E402
from tests.decoding.tiny_drafter import TOKENS, plan, tiny  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


def rows(session, tokens):
    [found] = session.extend([Nodes.chain(list(tokens), len(tokens))])
    return found.logits.numpy()


def test_all_layers_untrained_are_the_target(target):
    drafter = DistilledDrafter(target, Recipe(range(4)))
    np.testing.assert_allclose(drafter.logits(TOKENS), target.logits(TOKENS), atol=1e-5)
    adapter = DistilledDrafter(target, Recipe((0, 1), rank=3))
    np.testing.assert_array_equal(adapter.logits(TOKENS), target.early_exit(2).logits(TOKENS))


@pytest.mark.parametrize("recipe", [Recipe((0, 3)), Recipe((3, 1, 2)), Recipe((0, 1), rank=3)])
def test_a_session_reads_like_one_pass(target, recipe):
    drafter = DistilledDrafter(target, recipe)
    with torch.no_grad():  # as after training
        for part in drafter.parts.parameters():
            part += 0.1 * torch.randn(part.shape, generator=torch.Generator().manual_seed(1))
    session = drafter.session(1)
    first = rows(session, TOKENS[:5])
    session.keep([range(5)])
    whole = np.concatenate([first, rows(session, TOKENS[5:])])
    np.testing.assert_allclose(whole, drafter.logits(TOKENS), atol=1e-4)


def test_training_the_drafter_leaves_the_target_alone(target):
    before = target.logits(TOKENS)
    for recipe in (Recipe((0, -1)), Recipe((0,), rank=2)):
        drafter = DistilledDrafter(target, recipe)
        mine = {id(part) for part in drafter.parts.parameters()}
        assert not mine & {id(part) for part in target.module.parameters()}
        own = drafter.logits(TOKENS)
        with torch.no_grad():
            for part in drafter.parts.parameters():
                part += 1.0
        assert np.abs(drafter.logits(TOKENS) - own).max() > 0.1
    np.testing.assert_array_equal(target.logits(TOKENS), before)


def test_a_target_sped_up_before_gives_drafters_with_weights_of_their_own(target):
    plain = DistilledDrafter(target, Recipe((0, -1)))
    target.speed_up()
    drafter = DistilledDrafter(target, Recipe((0, -1)))
    for one in (plain, drafter):
        with torch.no_grad():
            for part in one.parts.parameters():
                part.mul_(1.5)
    short = TOKENS[:2]  # few enough rows for the fast path
    np.testing.assert_allclose(drafter.logits(short), plain.logits(short), atol=1e-4)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (Recipe(()), "`layers` is"),
        (Recipe((0, 4)), "layers 0 to 3, or -4 to -1"),
        (Recipe((-5,)), "layers 0 to 3, or -4 to -1"),
        (Recipe((0, 1), rank=0), "`rank` is 0"),
        (Recipe((0, 2), rank=2), "behind the first layers"),
    ],
)
def test_recipes_that_cannot_be(target, recipe, reason):
    with pytest.raises(InputError, match=reason):
        DistilledDrafter(target, recipe)


@pytest.mark.parametrize("pruned", [False, True])
def test_laws_are_those_of_one_text_at_a_time(target, pruned):
    drafter = DistilledDrafter(target, Recipe((0, -1)))
    kept = np.array([1, 2, 5, 9, 200]) if pruned else None
    texts = [Text(TOKENS, 3), Text(TOKENS[::-1].copy()[:5], 1)]
    of_target, [of_draft] = laws(drafter, kept, texts)
    some = slice(None) if kept is None else kept
    want = [target.logits(text.tokens)[text.prompt - 1 : -1] for text in texts]
    logs = torch.from_numpy(np.concatenate(want)).log_softmax(dim=-1)[:, some]
    torch.testing.assert_close(of_target, logs, atol=1e-5, rtol=0)
    own = [drafter.logits(text.tokens)[text.prompt - 1 : -1] for text in texts]
    logits = torch.from_numpy(np.concatenate(own))[:, some]
    torch.testing.assert_close(of_draft.detach(), logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pruned", [False, True])
def test_stored_states_give_the_same_laws_and_are_computed_once(
    target, tmp_path, monkeypatch, pruned
):
    drafter = DistilledDrafter(target, Recipe((0, -1)))
    kept = np.array([1, 2, 5, 9, 200]) if pruned else None
    texts = [Text(TOKENS, 3), Text(TOKENS[::-1].copy()[:5], 1), Text(TOKENS[2:], 2)]
    known = target_states(target, texts, tmp_path, together=2)
    assert [len(one.states) for one in known] == [7, 4, 5]
    for batch in ([0, 1, 2], [2, 0], [1]):
        read = [texts[i] for i in batch]
        stored, [draft] = laws(drafter, kept, read, [known[i] for i in batch])
        anew, [same] = laws(drafter, kept, read)
        torch.testing.assert_close(stored, anew, atol=2e-2, rtol=0)  # float16 states
        torch.testing.assert_close(draft, same)
    if not pruned:
        masses = laws(drafter, None, texts, known)[0].exp().sum(dim=-1)
        torch.testing.assert_close(masses, torch.ones(13), atol=1e-5, rtol=0)
    with monkeypatch.context() as patch:
        patch.setattr("spectheory.decoding.distil._body_states", None)
        again = target_states(target, texts, tmp_path, together=2)
    for one, other in zip(again, known, strict=True):
        assert all(map(np.array_equal, one, other))
    # Neither other texts nor other weights are taken for these.
    reversed_ = [text._replace(tokens=text.tokens[::-1].copy()) for text in texts]
    for model, read in ((target, reversed_), (tiny(seed=1), texts)):
        here, apart = (
            target_states(model, read, folder, together=2)
            for folder in (tmp_path, tmp_path / "apart")
        )
        for one, other, old in zip(here, apart, known, strict=True):
            assert all(map(np.array_equal, one, other))
            assert not np.array_equal(one.states, old.states)


def test_held_out_acceptance_is_the_overlap(target):
    drafter = DistilledDrafter(target, Recipe((0, -1)))
    texts = [Text(TOKENS, 3), Text(TOKENS[:5], 1), Text(TOKENS[2:], 2)]
    sums, sizes = [], []
    for text in texts:
        p, q = (
            torch.from_numpy(model.logits(text.tokens)[text.prompt - 1 : -1]).softmax(dim=-1)
            for model in (target, drafter)
        )
        sums.append(float(torch.minimum(p, q).sum()))
        sizes.append(len(p))
    for batch in (1, 2, 3):
        seen = held_out_acceptance(drafter, None, texts, batch)
        assert seen["mean"] == pytest.approx(sum(sums) / sum(sizes), abs=1e-5)
        assert seen["positions"] == sum(sizes) == 13
        assert seen["standard_error"] > 0


def test_texts_follow_the_prompts_and_do_not_depend_on_where_a_run_stopped(
    target, sources, tmp_path
):
    corpus = plan(sources).corpus
    whole = generated(target, corpus, tmp_path / "whole")

    def stop(done):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generated(target, corpus, tmp_path / "cut", stop)
    assert len(list((tmp_path / "cut").glob("*.npz"))) == 2
    resumed = generated(target, corpus, tmp_path / "cut")
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "cut" / file.name).read_bytes()
    asked = prompt_tokens(target, corpus)
    assert len(whole) == len(resumed) == len(asked) == 20
    for text, prompt in zip(whole, asked, strict=True):
        assert text.prompt == len(prompt) == 6
        np.testing.assert_array_equal(text.tokens[:6], prompt)
        ended = text.tokens[-1] == 256
        assert len(text.tokens) <= 18 if ended else len(text.tokens) == 18
    assert len({text.tokens.tobytes() for text in whole}) == 20
    with pytest.raises(InputError, match="texts of other settings"):
        generated(target, replace(corpus, seed=1), tmp_path / "cut")
    with pytest.raises(UnknownName, match=r"no prompt set `a\.text`"):
        generated(target, replace(corpus, sources=("a.text",)), tmp_path / "mistyped")
    file = Path(corpus.sources[0])
    file.write_text(file.read_text()[::-1])
    with pytest.raises(InputError, match=r"texts from prompts that .* do not give any more"):
        generated(target, corpus, tmp_path / "cut")
    assert not (tmp_path / "mistyped").exists()


def test_sources(target, tmp_path):
    for source in ("stdlib", "topics"):
        prompts = prompt_tokens(target, Corpus((source,), 6, prompt_tokens=10))
        assert len({target.decode(prompt) for prompt in prompts}) > 3
        assert {len(prompt) for prompt in prompts} == {10}
    with pytest.raises(InputError, match="`tiny` has no token that begins a text"):
        prompt_tokens(target, Corpus(("start",), 2))
    begun = tiny()
    begun.tokenizer.bos_token = "a"
    texts = generated(begun, Corpus(("start",), 3, new_tokens=9), tmp_path / "start")
    assert {(int(text.tokens[0]), text.prompt) for text in texts} == {(*begun.encode("a"), 1)}
    assert len({text.tokens.tobytes() for text in texts}) == 3
    with pytest.raises(UnknownName, match="no prompt set `nothing`"):
        prompt_tokens(target, Corpus(("nothing",), 2))
    (tmp_path / "line").write_text("word " * 100 + "\n")
    for prompt in prompt_tokens(target, Corpus((str(tmp_path / "line"),), 3, prompt_tokens=10)):
        assert target.decode(prompt) == "word word "
    (tmp_path / "empty").write_text("")
    with pytest.raises(InputError, match="has no tokens"):
        prompt_tokens(target, Corpus((str(tmp_path / "empty"),), 2))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        prompt_tokens(target, Corpus((str(tmp_path / "bytes"),), 2))


@pytest.mark.parametrize(
    ("changes", "pruned"),
    [
        ({"loss": "kl"}, False),
        ({"loss": "tv"}, False),
        ({"loss": "tv", "tokens": 180}, True),
        ({"loss": "tv", "recipe": Recipe((0, 1), rank=8)}, False),
    ],
)
def test_distilling_raises_acceptance_of_unseen_texts(target, sources, tmp_path, changes, pruned):
    training = Training(200, 1e-2, warmup=5, averaging=0.9)
    card = distil(target, plan(sources, training=training, **changes), tmp_path / "out")
    before, after = card["held_out_acceptance_before"], card["held_out_acceptance"]
    assert after["mean"] > before["mean"] + 3 * after["standard_error"]
    assert json.loads((tmp_path / "out" / CARD).read_text())["held_out_acceptance"] == after
    drafter = load_drafter(tmp_path / "out", target)
    assert isinstance(drafter, PrunedHead) == pruned
    source = draft_source(f"distil:{tmp_path / 'out'}", target)
    decoder = Decoder(target, source, branching=(1, 1))
    done = decoder.generate([Request(TOKENS, 20, seed=seed) for seed in range(4)])
    assert [len(one.tokens) for one in done] == [20] * 4
    # About 0.4 of 50 and more first drafts are accepted: none would be with probability 1e-11.
    assert any(max(one.statistics.lengths) > 0 for one in done)


def test_greedy_decoding_with_a_drafter_is_the_targets(target, sources, tmp_path):
    distil(target, plan(sources, training=Training(5)), tmp_path / "out")
    source = draft_source(f"distil:{tmp_path / 'out'}", target)
    requests = [Request(TOKENS[:n], 15, sampling=Sampling(0)) for n in (1, 4, 8)]
    plain = Decoder(target).generate(requests)
    drafted = Decoder(target, source, branching=(1, 1, 1), batch=3).generate(requests)
    assert [one.tokens for one in drafted] == [one.tokens for one in plain]


@pytest.mark.parametrize("levels", ["", "2:"])
def test_a_drafter_behind_copies_reads_what_was_copied(target, sources, tmp_path, levels):
    """Which texts it drafts for changes from step to step; one batch holds both kinds."""
    recipe = Recipe((-1,), follows=True)
    distil(target, plan(sources, recipe=recipe, training=Training(5)), tmp_path / "out")
    source = draft_source(f"lookup+{levels}distil:{tmp_path / 'out'}", target)
    assert source.levels == int(levels[:-1] or 1)
    texts = [TOKENS, np.tile([5, 6, 7], 4), TOKENS[:1], np.tile([9, 9, 2], 3)]
    requests = [Request(text, 25, seed=i) for i, text in enumerate(texts)]
    together = Decoder(target, source, branching=(1,) * 4, batch=4)
    found = together.generate(requests)
    alone = [Decoder(target, source, branching=(1,) * 4).generate([one])[0] for one in requests]
    assert [one.tokens for one in found] == [one.tokens for one in alone]
    greedy = [replace(one, sampling=Sampling(0)) for one in requests]
    plain = Decoder(target).generate(greedy)
    decoder = Decoder(target, source, branching=(1, 1, 1), batch=3)
    assert [one.tokens for one in decoder.generate(greedy)] == [one.tokens for one in plain]
    for seen in (together.statistics, decoder.statistics):
        assert seen.drafted > seen.tested[0]  # copies were among them: others are of one token


def test_plans_and_folders_that_do_not_fit(target, sources, tmp_path):
    out = tmp_path / "out"
    short = plan(sources, training=Training(3))
    roundabout = str(tmp_path / short.corpus.sources[0])
    for changes, reason in (
        ({"held_out": short.corpus}, "trained on and held out"),
        ({"held_out": replace(short.held_out, sources=(roundabout,))}, "trained on and held out"),
        ({"tokens": 258}, "`tokens` is 258; expected 1 to 257"),
        ({"batch": 0}, "`batch`, `steps` are 0, 3"),
        ({"loss": "l2"}, "no loss `l2`"),
        ({"held_out": replace(short.held_out, sources=("a.text",))}, r"no prompt set `a\.text`"),
    ):
        with pytest.raises(InputError, match=reason):
            distil(target, replace(short, **changes), out)
    assert not out.exists()
    distil(target, short, out)
    with pytest.raises(InputError, match="other settings"):
        distil(target, replace(short, loss="kl"), out)
    with pytest.raises(InputError, match="texts of other settings"):
        distil(tiny(seed=1), short, out)  # of the same name, with other weights
    with pytest.raises(InputError, match="made for another model"):
        load_drafter(out, tiny(size=32))
    with pytest.raises(InputError, match=r"`layers` is .* layers 0 to 2"):
        load_drafter(out, tiny(layers=3))
    with pytest.raises(SourceUnavailable, match="holds no drafter"):
        draft_source(f"distil:{tmp_path}", target)
    (out / WEIGHTS).write_bytes((out / WEIGHTS).read_bytes()[:50])
    with pytest.raises(SourceUnavailable, match="holds no drafter"):
        load_drafter(out, target)


def test_training_draws_nothing_that_a_checkpoint_does_not_hold(target, sources, tmp_path):
    """Layers with dropout are trained without: its generator is torch's own."""
    made = []
    for rate in (0.0, 0.5):
        for part in target.module.modules():
            if hasattr(part, "attention_dropout"):
                part.attention_dropout = rate
        distil(target, plan(sources, training=Training(5)), tmp_path / str(rate))
        made.append((tmp_path / str(rate) / WEIGHTS).read_bytes())
    assert made[0] == made[1]


def test_training_on_from_a_drafter(target, sources, tmp_path):
    first = distil(target, plan(sources, training=Training(60, 1e-2)), tmp_path / "kl")
    begun = plan(sources, loss="tv", start=str(tmp_path / "kl"), training=Training(30, 3e-3))
    then = distil(target, begun, tmp_path / "tv")
    assert then["held_out_acceptance_before"] == first["held_out_acceptance"]
    assert then["held_out_acceptance"]["mean"] > first["held_out_acceptance"]["mean"]
    with pytest.raises(InputError, match=r"`start` is .*, a drafter of"):
        distil(target, replace(begun, recipe=Recipe((0,))), tmp_path / "other")
    with pytest.raises(SourceUnavailable, match="holds no drafter"):
        distil(target, replace(begun, start=str(tmp_path)), tmp_path / "other")


def test_training_on_texts_of_earlier_runs_too(target, sources, tmp_path, monkeypatch):
    first, then = (str(tmp_path / name) for name in ("first", "then"))
    distil(target, plan(sources, training=Training(1)), Path(first))
    before = {file: file.stat().st_mtime_ns for file in Path(first).rglob("*")}
    mixed = plan(sources, corpus=replace(plan(sources).corpus, seed=1), also=(first,))
    read = set()

    def noted(drafter, kept, texts, *rest):
        if rest[0] is not None:  # a training step
            read.update(text.tokens.tobytes() for text in texts)
        return laws(drafter, kept, texts, *rest)

    monkeypatch.setattr("spectheory.decoding.distil.laws", noted)
    card = distil(target, mixed, Path(then))
    assert card["training_texts"] == 40
    for folder in (first, then):
        own = generated(target, corpus_of(Path(folder) / "texts"), Path(folder) / "texts")
        assert len({text.tokens.tobytes() for text in own} & read) > 10
    assert before == {file: file.stat().st_mtime_ns for file in Path(first).rglob("*")}
    with pytest.raises(InputError, match="holds no texts that a target generated"):
        distil(target, replace(mixed, also=(str(tmp_path),)), tmp_path / "none")
    swapped = replace(mixed, corpus=mixed.held_out, held_out=mixed.corpus)
    with pytest.raises(InputError, match="trained on and held out"):
        distil(target, swapped, tmp_path / "none")


CHILD = """
import os, signal, sys
import spectheory.decoding.distil as distilling
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tests.decoding.tiny_drafter import plan, tiny
stage, count, folder, *sources = sys.argv[2:]

@contextmanager
def until(label, total):
    def show(done):
        if label.startswith(stage) and done >= int(count):
            os.kill(os.getpid(), signal.SIGKILL)
    yield show

distilling.progress = until
distilling.distil(tiny(), plan([(s,) for s in sources]), Path(folder))
"""


def test_a_run_killed_at_any_stage_ends_with_the_same_bytes(target, sources, tmp_path):
    distil(target, plan(sources), tmp_path / "whole")
    cut = tmp_path / "cut"
    for stage, count in (("target's states", 12), ("training by", 37)):
        arguments = (str(ROOT), stage, str(count), str(cut), *sources[0], *sources[1])
        child = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True)
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert (cut / "checkpoint.pt").exists()
    assert not (cut / WEIGHTS).exists()
    distil(tiny(), plan(sources), cut)
    for name in (WEIGHTS, CARD):
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.models
def test_a_drafter_of_a_real_model(smollm2):
    """Untrained: first, second and last layer, rolled back and read on like one pass."""
    drafter = DistilledDrafter(smollm2, Recipe((0, 1, -1)))
    tokens = smollm2.encode("def add(a, b):\n    return a + b")
    session = drafter.session(1)
    rows(session, tokens[:6])
    session.keep([range(4)])
    np.testing.assert_allclose(rows(session, tokens[4:]), drafter.logits(tokens)[4:], atol=1e-3)
    size = sum(part.numel() for part in drafter.parts.parameters()) * 2
    assert size < 25_000_000
