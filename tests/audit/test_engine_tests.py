"""Imitations of engines' tests: right samplers pass, plain mistakes do not, the gaps are there."""

import numpy as np
import pytest

from spectheory.audit.engine_tests import ENGINE_TESTS, engine_verdict, vllm_narrow, vllm_wide
from spectheory.audit.sampler import categorical
from spectheory.distributions import total_variation
from spectheory.errors import InputError
from spectheory.zoo.entry import entry

FEWER = {"flashinfer_cosine": {"draws": 500_000}}


def exact(target, draft, n, seed):
    return (categorical(target, np.random.default_rng(seed).random(n)),)


def from_draft(target, draft, n, seed):
    return (categorical(draft, np.random.default_rng(seed).random(n)),)


@pytest.mark.parametrize("test", ENGINE_TESTS)
def test_right_passes_and_the_draft_itself_does_not(test):
    assert engine_verdict(test, exact, 0, **FEWER.get(test, {})).passes
    assert not engine_verdict(test, from_draft, 0, **FEWER.get(test, {})).passes


def test_the_wide_test_misses_shared_noise_and_the_narrow_one_sees_it():
    """As its authors note of the bug that led to the narrow test."""
    assert vllm_wide(entry("shared_gumbel").single_step, 0).passes
    assert not vllm_narrow(entry("shared_gumbel").single_step, 0).passes


def test_cosine_does_not_see_a_lost_tail():
    """All tokens below one per mille dropped: a bias of several per cent passes."""
    biases = []

    def no_tail(target, draft, n, seed):
        cut = np.where(target < 1e-3, 0, target)
        biases.append(float(total_variation(cut / cut.sum(), target)))
        return exact(cut / cut.sum(), draft, n, seed)

    assert engine_verdict("flashinfer_cosine", no_tail, 0, draws=500_000).passes
    assert biases[0] > 0.03


def test_ordering_does_not_see_a_temperature():
    def hotter(target, draft, n, seed):
        law = target**0.8 / (target**0.8).sum()
        return exact(law, draft, n, seed)

    assert engine_verdict("transformers_ordering", hotter, 0).passes


def test_chi_square_is_that_of_scipy():
    """With nothing to pool, the statistic is the textbook one."""
    from scipy.stats import chisquare

    drawn = {}

    def spy(target, draft, n, seed):
        drawn["target"], drawn["tokens"] = target, exact(target, draft, n, seed)[0]
        return (drawn["tokens"],)

    verdict = vllm_narrow(spy, 3, size=8)
    counts = np.bincount(drawn["tokens"], minlength=8)
    wanted = chisquare(counts, drawn["target"] * counts.sum()).statistic
    assert verdict.statistic == pytest.approx(wanted)
    assert verdict.limit == pytest.approx(7 + 10 * np.sqrt(14))


def test_an_unknown_test_is_named():
    with pytest.raises(InputError, match="no engine test `tgi`"):
        engine_verdict("tgi", exact, 0)
