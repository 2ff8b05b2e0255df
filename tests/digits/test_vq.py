"""The code models: their laws, the shipped weights, and relaxed rules on real image codes."""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest

from sims.grouped_bias import Z, measured_bias
from spectheory.audit.sequential import audit_law
from spectheory.decoding.fixed_length import plain_decode, speculative_decode
from spectheory.decoding.jacobi import jacobi_decode
from spectheory.digits import vq_pair
from spectheory.digits.data import digits
from spectheory.digits.vq_codebook import cluster, decode, encode, fit_codebook
from spectheory.digits.vq_model import ImageLaws
from spectheory.digits.vq_pair import CODES, load_code_pair, train_code_pair
from spectheory.distributions import overlap, total_variation
from spectheory.errors import InputError, ShapeError, TokenError
from spectheory.verification.grouped import Grouped
from spectheory.verification.grouped_keep import GroupedKeep
from spectheory.verification.rule import rule, rules
from spectheory.verification.token_groups import Partition, RankWindow

ALPHA = 1e-6
REJECTION = rule("rejection")


@pytest.fixture(scope="module")
def pair():
    return load_code_pair()


@pytest.fixture(scope="module")
def held_out(pair):
    """Target and draft laws along 100 held-out digits, ``(1600, V)``, and their tokens."""
    data = digits("test")
    tokens = encode(data.tokens[:100], pair.codebook)
    laws = [
        ImageLaws(model, data.labels[:100]).laws(tokens, np.arange(100)).reshape(-1, CODES)
        for model in (pair.target, pair.draft)
    ]
    return *laws, tokens


def test_codes_stand_for_their_patches(pair):
    ids = np.arange(CODES)
    assert (encode(pair.codebook, pair.codebook) == ids).all()
    tokens = encode(digits("test").tokens, pair.codebook)
    apart = np.abs(decode(tokens, pair.codebook) - digits("test").tokens)
    assert apart.mean() < 0.1  # ink to paper is 2
    small = fit_codebook(digits("test").tokens, 4)
    assert small.shape == (4, 4)
    assert (np.diff(small.sum(axis=1)) >= 0).all()


def test_bad_codes_are_named(pair):
    with pytest.raises(TokenError, match="below 128"):
        decode(np.full((1, 16), CODES), pair.codebook)
    with pytest.raises(ShapeError, match="pixels"):
        encode(np.zeros((1, 3)), pair.codebook)


def test_laws_depend_on_earlier_tokens_and_the_label_only(pair):
    rng = np.random.default_rng(0)
    model = ImageLaws(pair.target, np.arange(6))
    tokens = rng.integers(0, CODES, (6, 16))
    laws = model.laws(tokens, np.arange(6))
    assert np.abs(laws.sum(axis=-1) - 1).max() < 1e-12
    changed = tokens.copy()
    changed[:, 9:] = rng.integers(0, CODES, (6, 7))
    again = model.laws(changed, np.arange(6))
    assert np.allclose(again[:, :10], laws[:, :10], rtol=0, atol=1e-6)
    assert np.abs(again[:, 10:] - laws[:, 10:]).max() > 1e-3
    assert np.allclose(model.laws(tokens[4:], np.array([4, 5])), laws[4:], rtol=0, atol=1e-6)


def test_target_knows_more_than_the_draft_and_the_draft_more_than_counts(held_out, pair):
    target, draft, tokens = held_out
    train = encode(digits("train").tokens, pair.codebook)
    counts = np.stack([np.bincount(column, minlength=CODES) + 1 for column in train.T])
    by_place = np.broadcast_to(counts / counts.sum(axis=1, keepdims=True), (100, 16, CODES))
    losses = [
        -np.log(np.take_along_axis(law.reshape(100, 16, CODES), tokens[..., None], -1)).mean()
        for law in (target, draft, by_place)
    ]
    assert losses[0] + 0.2 < losses[1] < losses[2] - 0.2


def test_grouping_by_look_raises_acceptance(held_out, pair):
    target, draft, _ = held_out
    plain, last = overlap(target, draft), None
    for groups in (64, 16, 4):
        ladder = Grouped(Partition(cluster(pair.codebook, groups))).rates(target, draft, 1).ladder
        assert (ladder >= plain - 1e-12).all()
        assert last is None or ladder.mean() > last
        last = ladder.mean()


@pytest.mark.parametrize("key", [key for key, r in rules().items() if r.most_drafts == 1])
def test_declared_bias_is_the_measured_one(key, held_out):
    target, draft, _ = held_out
    tested = rule(key)
    law = tested.output_law(target, draft, 1)
    bias, error = measured_bias(tested, target, draft, law, 10, np.random.default_rng(1))
    formula = float(total_variation(target, law).mean())
    assert abs(bias - formula) <= Z * error
    assert error > 0
    assert formula < 1e-12 if tested.lossless else formula > Z * error


@pytest.mark.parametrize("claimed", ["judge", "grouped_keep"])
def test_a_wrong_formula_is_seen(claimed, held_out):
    """Draws of one rule under another's formula."""
    target, draft, _ = held_out
    law = rule(claimed).output_law(target, draft, 1)
    bias, error = measured_bias(REJECTION, target, draft, law, 10, np.random.default_rng(2))
    assert abs(bias - float(total_variation(target, law).mean())) > Z * error


def likelihood(tokens, model):
    laws = model.laws(tokens, np.arange(len(tokens)))
    return np.log(np.take_along_axis(laws, tokens[..., None], -1)[..., 0]).mean(axis=1)


def test_images_end_to_end(pair):
    """Lossless decoders draw images as likely as plain ones, in fewer calls; lossy ones do not."""
    count = 500
    labels = np.arange(count) % 10
    target, draft = (ImageLaws(model, labels) for model in (pair.target, pair.draft))
    rng = np.random.default_rng(3)
    plain = likelihood(plain_decode(target, count, rng).tokens, target)

    def z(done):
        found = likelihood(done.tokens, target)
        return (found.mean() - plain.mean()) / math.sqrt((found.var() + plain.var()) / count)

    jacobi = jacobi_decode(target, count, REJECTION, rng)
    coupled = jacobi_decode(target, count, REJECTION, rng, coupled=True)
    drafted = speculative_decode(target, draft, count, REJECTION, rng)
    lossy = GroupedKeep(Partition(cluster(pair.codebook, 16)))
    grouped = jacobi_decode(target, count, lossy, rng)
    window = jacobi_decode(target, count, Grouped(RankWindow(7, 6)), rng)
    for done in (jacobi, coupled, drafted):
        assert abs(z(done)) < Z
        assert done.tokens_per_call > 1.5
    for done in (grouped, window):
        assert z(done) < -Z
        assert done.tokens_per_call > jacobi.tokens_per_call + 0.15
    assert coupled.tokens_per_call > jacobi.tokens_per_call


class FirstTokens:
    """The first two tokens of an image."""

    length, vocab_size = 2, CODES

    def __init__(self, model):
        self._model = model

    def laws(self, tokens, rows):
        padded = np.zeros((len(tokens), 16), dtype=np.int64)
        padded[:, :2] = tokens
        return self._model.laws(padded, rows)[:, :2]


def test_first_tokens_follow_the_law(pair):
    count = 2000
    target = FirstTokens(ImageLaws(pair.target, np.full(count, 3)))
    law = target.laws(np.zeros((1, 2), dtype=np.int64), np.arange(1))[0, 0]
    rng = np.random.default_rng(4)
    right = jacobi_decode(target, count, REJECTION, rng, width=2)
    assert not audit_law(right.tokens[:, 0], law, ALPHA).biased
    wrong = jacobi_decode(target, count, rule("judge"), rng, width=2)
    assert audit_law(wrong.tokens[:, 0], law, ALPHA).biased


@contextmanager
def silent(label, total):
    yield lambda done: None


@pytest.fixture
def tiny(monkeypatch):
    """Training of a few steps over eight codes."""
    monkeypatch.setattr(vq_pair, "CODES", 8)
    monkeypatch.setattr(vq_pair, "STEPS", {"target": 8, "draft": 2})
    monkeypatch.setattr(vq_pair, "Training", partial(vq_pair.Training, every=3))


@pytest.mark.usefixtures("tiny")
def test_checkpoints_of_another_loss_or_other_data_are_refused(tmp_path, monkeypatch):
    others = {
        "NOISE": 0.5,
        "BATCH": 32,
        "digits": lambda part: digits("test"),
        "fit_codebook": lambda tokens, codes: fit_codebook(tokens, codes) + 0.125,
    }
    for _ in range(2):
        train_code_pair(tmp_path, silent, tmp_path / "weights")
    for name, other in others.items():
        with monkeypatch.context() as patch:
            patch.setattr(vq_pair, name, other)
            with pytest.raises(InputError, match="other settings"):
                train_code_pair(tmp_path, silent, tmp_path / "weights")


@pytest.mark.usefixtures("tiny")
def test_killed_training_ends_with_the_same_weights(tmp_path):

    @contextmanager
    def killed(label, total):
        def stop(done):
            if done >= 7:
                raise KeyboardInterrupt

        yield stop

    train_code_pair(tmp_path / "a", silent, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train_code_pair(tmp_path / "b", killed, tmp_path / "resumed")
    assert not (tmp_path / "resumed").exists()
    train_code_pair(tmp_path / "b", silent, tmp_path / "resumed")
    for role in ("target", "draft"):
        name = f"vq-{role}.safetensors"
        weights = [(tmp_path / run / name).read_bytes() for run in ("straight", "resumed")]
        assert weights[0] == weights[1]
