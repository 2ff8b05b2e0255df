import numpy as np
import pytest

from spectheory.decoding.logged import LoggedLogits, logged_logits
from spectheory.decoding.ngram import NgramModel
from spectheory.decoding.tabular import TabularModel
from spectheory.errors import InputError, TokenError, VocabularyMismatch

V = 5
TARGET = TabularModel.random(V, 2, np.random.default_rng(0), exact=False, name="target")
DRAFT = TabularModel.random(V, 1, np.random.default_rng(1), exact=False, name="draft")
PROMPTS = [np.random.default_rng(i).integers(0, V, size) for i, size in enumerate((30, 4, 22))]


def logged(**options):
    drafts = {"table": DRAFT, "ngram": lambda: NgramModel(V, 2)}
    return logged_logits(lambda: TARGET, drafts, PROMPTS, 12, **options)


def test_rows_are_the_models_logits_at_the_logged_places():
    log = logged(skip=5)
    assert log.target.shape == log.drafts["table"].shape == log.drafts["ngram"].shape == (12, V)
    assert log.target.dtype == log.drafts["ngram"].dtype == np.float32
    for row, (i, t) in enumerate(zip(log.prompt, log.position, strict=True)):
        assert t >= 5
        prefix = PROMPTS[i][: t + 1]
        np.testing.assert_allclose(log.target[row], TARGET.logits(prefix)[-1], rtol=1e-6)
        np.testing.assert_allclose(log.drafts["table"][row], DRAFT.logits(prefix)[-1], rtol=1e-6)
        following = PROMPTS[i][t + 1] if t + 1 < len(PROMPTS[i]) else -1
        assert log.next_token[row] == following


def test_places_are_spread_and_never_repeat():
    log = logged(skip=5)
    places = list(zip(log.prompt.tolist(), log.position.tolist(), strict=True))
    assert len(set(places)) == 12
    assert places == sorted(places)
    assert np.bincount(log.prompt, minlength=3).tolist() == [7, 0, 5]


def test_the_seed_decides():
    one, same = logged(skip=0, seed=1), logged(skip=0, seed=1)
    assert (one.position == same.position).all()
    assert any((logged(skip=0, seed=s).position != one.position).any() for s in range(2, 6))


def test_long_prompts_are_cut():
    assert logged(skip=0, longest=10).position.max() < 10


def test_file_round_trip(tmp_path):
    log = logged()
    path = log.save(tmp_path / "v0.1")
    assert path.name == "v0.1.npz"
    assert [p.name for p in tmp_path.iterdir()] == ["v0.1.npz"]
    back = LoggedLogits.load(path)
    assert back.meta == log.meta
    assert back.meta["draft_models"] == {"table": "draft", "ngram": "2-gram"}
    assert back.meta["seed"] == 0
    assert "numpy" in back.meta["versions"]
    for name in ("target", "prompt", "position", "next_token"):
        assert (getattr(back, name) == getattr(log, name)).all()
    assert all((back.drafts[name] == log.drafts[name]).all() for name in log.drafts)


def test_one_model_at_a_time():
    """A model that was built here is gone before the next one is built."""
    alive = []

    class Watched(NgramModel):
        def __init__(self):
            super().__init__(V, 2)
            alive.append(self.name)

        def __del__(self):
            alive.pop()

    def build():
        assert not alive
        return Watched()

    logged_logits(build, {"a": build, "b": build}, PROMPTS, 5)
    assert not alive


def test_refusals():
    with pytest.raises(InputError, match="`positions` is 99, but the prompts have 36"):
        logged_logits(TARGET, {}, PROMPTS, 99)
    with pytest.raises(InputError, match="`positions`, `skip` are 0, 8"):
        logged_logits(TARGET, {}, PROMPTS, 0)
    with pytest.raises(TokenError, match="no tokenizer"):
        logged_logits(TARGET, {}, ["text"], 1)
    with pytest.raises(VocabularyMismatch, match="draft `wide` is over 6"):
        logged_logits(TARGET, {"wide": NgramModel(6)}, PROMPTS, 5)


def test_another_tokenizer_is_refused():
    class Speaking(NgramModel):
        def __init__(self, shift):
            super().__init__(V)
            self.shift = shift

        def encode(self, text):
            return np.array([(int(letter) + self.shift) % V for letter in text])

    text = "0123401234012340"
    with pytest.raises(VocabularyMismatch, match="another tokenizer"):
        logged_logits(Speaking(0), {"other": Speaking(1)}, [text], 3)
    assert logged_logits(Speaking(0), {"same": Speaking(0)}, [text], 3).target.shape == (3, V)
