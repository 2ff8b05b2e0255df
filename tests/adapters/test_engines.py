"""Adapters: what is called is what is meant, lossless engines pass, lossy ones are caught."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import numpy as np
import pytest

from spectheory.adapters.chain import ChainEngine, GreedyDrafts, Outcome
from spectheory.adapters.engine import Engine, after, engine, engines
from spectheory.audit.run import Job, audit_sampler
from spectheory.audit.stream import StreamAudit
from spectheory.decoding.tabular import TabularModel
from spectheory.distributions import residual, temper
from spectheory.errors import InputError, MissingDependency, SupportError
from spectheory.verdict import inverse_transform

ALPHA = 1e-6
TARGET = np.array([0.25, 0.35, 0.4, 0.0])
DRAFT = np.array([0.65, 0.15, 0.1, 0.1])
CHAINS = [key for key, one in engines().items() if isinstance(one, ChainEngine)]
STEPPING = [key for key in engines() if not key.startswith("transformers-generate")]
SLOW = ("transformers", "dflash", "core-deepinfer", "economize-tree", "autodraft")


def installed(key: str) -> Engine:
    found = engine(key)
    try:
        found.version()
    except MissingDependency as error:
        pytest.skip(str(error))
    return found


def target_of(one: Engine, law: np.ndarray) -> np.ndarray:
    """Greedy engines keep the target's mode and no more."""
    return temper(law, 0.0) if one.claim == "greedy-lossless" else law


def biased_on_purpose(one: Engine) -> bool:
    """Lossy by its authors' word, or given numbers that cannot hold the laws."""
    return one.claim == "lossy" or getattr(one, "dtype", "float32") != "float32"


def draws(key: str) -> int:
    return 4_000 if key.startswith(SLOW) else 30_000


@pytest.mark.parametrize("key", STEPPING)
def test_whole_blocks_have_the_law_that_is_claimed(key):
    one = installed(key)
    target = target_of(one, TARGET)
    job = Job(target, DRAFT, ALPHA, draws(key) * (4 if biased_on_purpose(one) else 1))
    report = audit_sampler(one, job)
    assert report.biased == biased_on_purpose(one), str(report)


@pytest.mark.parametrize("key", CHAINS)
def test_one_draft_has_the_law_and_the_acceptance_that_are_claimed(key):
    one = replace(installed(key), drafts=1)
    target, draft = target_of(one, TARGET), one.proposal(DRAFT)
    report = audit_sampler(one, Job(target, draft, ALPHA, draws(key)))
    assert report.biased == biased_on_purpose(one), str(report)


@pytest.mark.parametrize("key", STEPPING)
def test_streams_have_the_law_that_is_claimed(key):
    one = installed(key)
    rng = np.random.default_rng(2)
    rows = rng.dirichlet(np.full(4, 0.7), (2, 4))
    target = TabularModel([rows[0, 0], target_of(one, rows[0])])
    draft = TabularModel([rows[0, 0], 0.4 * rows[0] + 0.6 * rows[1]])
    audit = StreamAudit(ALPHA)
    requests = 60 if key.startswith(SLOW) else 500
    for steps in one.decode(target, draft, requests=requests, steps=15, seed=1):
        audit.update(steps)
    report = audit.report()
    if not biased_on_purpose(one):
        assert not report.biased, str(report)
    elif key in ("flashspec-typical", "economize-typical", "economize-tree-top-as-iid"):
        assert report.biased, str(report)


def test_bfloat16_accepts_tokens_of_probability_zero():
    """With 8-bit uniforms r = 0 comes about every 256th time, and 0 <= 0 / q holds."""
    one = installed("transformers-bfloat16")
    impossible = np.array([0.5, 0.5, 0.0])
    draft = np.array([0.05, 0.05, 0.9])
    tokens, _ = replace(one, drafts=1)(impossible, draft, 4_000, 0)
    zeros = int((tokens == 2).sum())
    assert zeros > 0  # missed with probability below 1e-6: 3,600 tests at 1/256 each
    exact, _ = replace(installed("transformers"), drafts=1)(impossible, draft, 4_000, 0)
    assert not (exact == 2).any()


def test_greedy_verification_by_enumeration():
    """Every chain of two drafts over three tokens, and every order of the laws."""
    one = installed("core-deepinfer")
    laws = np.array([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])
    for order in product(range(3), repeat=3):
        target = laws[list(order)][None]
        best = target[0].argmax(axis=1)
        for chain in product(range(3), repeat=2):
            found = one.verify(target, target[:, :2], np.array([chain]), 0)
            kept = 0 if chain[0] != best[0] else 1 if chain[1] != best[1] else 2
            assert (found.kept[0], found.following[0]) == (kept, best[kept])


def test_greedy_positions_without_a_token_in_common():
    """What is learnt at one position says nothing about the next, and must not divide by it."""
    laws = np.eye(3)
    report = audit_sampler(
        installed("core-deepinfer"), Job(laws, np.full((3, 3), 1 / 3), ALPHA, 6_000)
    )
    assert not report.biased
    assert report.draws == 6_000


# -- the frame itself, on an engine written here --------------------------------------------------


@dataclass(frozen=True)
class Reference(ChainEngine):
    """Rejection sampling in float64; ``slip`` forgets to take the draft off the residual."""

    distribution: ClassVar[str] = "numpy"
    tested: ClassVar[tuple[str, ...]] = ("2",)
    reference: ClassVar[str] = ""

    slip: bool = False

    @property
    def key(self) -> str:
        return "reference"

    @property
    def calls(self) -> str:
        return "here"

    def verify(
        self, target: np.ndarray, draft: np.ndarray, drafts: np.ndarray, seed: int
    ) -> Outcome:
        rng = np.random.default_rng(seed)
        rows, places = np.indices(drafts.shape)
        ratio = target[rows, places, drafts] / draft[rows, places, drafts]
        kept = np.cumprod(rng.random(drafts.shape) < ratio, axis=1).sum(axis=1)
        each = np.arange(len(drafts))
        row = np.minimum(kept, drafts.shape[1] - 1)
        left = target[each, row] if self.slip else residual(target[each, row], draft[each, row])
        law = np.where((kept == drafts.shape[1])[:, None], target[each, -1], left)
        return Outcome(kept, inverse_transform(law, rng.random(len(drafts))))


@pytest.mark.parametrize("drafts", [1, 3])
@pytest.mark.parametrize("slip", [False, True])
def test_the_frame_passes_what_is_right_and_shows_what_is_wrong(drafts, slip):
    one = Reference(drafts=drafts, slip=slip)
    assert audit_sampler(one, Job(TARGET, DRAFT, ALPHA, 50_000)).biased == slip
    rows = np.random.default_rng(3).dirichlet(np.full(5, 0.6), (2, 5))
    models = TabularModel([rows[0, 0], rows[0]]), TabularModel([rows[1, 0], rows[1]])
    audit = StreamAudit(ALPHA)
    for steps in one.decode(*models, requests=2_000, steps=12, seed=4):
        audit.update(steps)
    assert audit.report().biased == slip


def test_expected_counts_by_enumeration():
    rng = np.random.default_rng(5)
    p, q = rng.dirichlet(np.ones(3), (2, 3))
    for one in (Reference(drafts=3), engine("flashspec-onehot")):
        found = one.expected_counts(p, q)
        law = one.proposal(q)
        for context in range(3):
            mean = 0.0
            for path in product(range(3), repeat=3):
                before = (context, *path[:-1])
                drawn = np.prod([law[x, y] for x, y in zip(before, path, strict=True)])
                passed = np.cumprod(
                    [
                        min(1, p[x, y] / max(law[x, y], 1e-300))
                        for x, y in zip(before, path, strict=True)
                    ]
                )
                mean += drawn * (1 + passed.sum())
            assert found[context] == pytest.approx(mean, abs=1e-12)


def test_the_sampler_repeats_itself_only_with_its_seed():
    one = Reference(drafts=2)
    a, b, c = (one(TARGET, DRAFT, 500, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert a.shape == (500,)


def test_every_adapter_says_what_it_calls():
    for key, one in engines().items():
        assert one.key == key
        assert one.calls.count(".") >= 2
        assert one.tested
        assert one.reference.startswith("https://")
        assert one.claim in ("law-lossless", "greedy-lossless", "lossy")


def test_what_is_not_installed_is_named_with_the_command():
    @dataclass(frozen=True)
    class Absent(Reference, GreedyDrafts):
        distribution: ClassVar[str] = "no-such-engine"
        install: ClassVar[str] = "pip install --no-deps no-such-engine==1"

    with pytest.raises(MissingDependency, match="`pip install --no-deps no-such-engine==1`"):
        Absent().load("no_such_engine")
    with pytest.raises(MissingDependency, match="no-such-engine"):
        Absent().version()


def test_an_engine_whose_module_cannot_be_imported_is_not_called_missing():
    with pytest.raises(MissingDependency, match=r"`numpy\.no_such_part` of `numpy` \d.*cannot"):
        Reference().load("numpy.no_such_part")


def test_siblings_without_replacement_need_as_many_tokens():
    one = installed("economize-tree-distinct")
    with pytest.raises(SupportError, match="`draft` has a law of 1 tokens"):
        one(np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 0.0]), 100, 0)


@dataclass(frozen=True)
class OneHot(GreedyDrafts, Reference):
    """Lossless, by drafts that are the draft's mode."""


def test_greedy_drafts_are_not_held_to_the_acceptance_of_sampled_ones():
    """The mode is accepted with 0.5, a draw of the draft would be with 0.6."""
    target, hot = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    job = Job(target, np.array([0.9, 0.1]), ALPHA, 50_000)
    assert not audit_sampler(OneHot(drafts=1), job).biased
    _, accepted = OneHot(drafts=1)(target, hot, 50_000, 0)
    assert abs(accepted.mean() - 0.5) < 5 * np.sqrt(0.25 / 50_000)


def test_models_of_higher_order_and_missing_drafts_are_refused():
    order_2 = TabularModel.random(2, 2, np.random.default_rng(0), exact=False)
    with pytest.raises(InputError, match="order 0 or 1"):
        next(Reference().decode(order_2, order_2, 1, 1, 0))
    with pytest.raises(InputError, match="needs a `draft` law"):
        Reference()(TARGET, None, 10, 0)


def test_a_table_of_one_row_has_no_context():
    np.testing.assert_array_equal(after(TARGET[None], np.array([3, 1])), [TARGET, TARGET])
