"""The diffusion pair: its kernels, one token, and whole images.

Statistical tests have a false-alarm rate of at most 1e-6 (asymptotic for the energy distance) and
see a rule that is known to be biased; the permutation test of the Frechet distance has 0.5%.
"""

import hashlib
import math
import tomllib
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, norm

from spectheory.audit.continuous_two_sample import audit_energy
from spectheory.continuous.diffusion_schedule import DiffusionSchedule
from spectheory.continuous.path_chain import draw_path
from spectheory.continuous.path_independent import IndependentPaths
from spectheory.continuous.path_published import CSpDPublished, log_variance_factor
from spectheory.continuous.path_reflection import StepwiseReflection
from spectheory.continuous.path_released import CSpDReleased
from spectheory.continuous.path_same import SamePath
from spectheory.continuous.path_shared_noise import SharedNoise
from spectheory.digits import diffusion_pair
from spectheory.digits.data import digits
from spectheory.digits.diffusion_chain import Sampler, Sampling
from spectheory.digits.diffusion_decoding import generate, plain
from spectheory.digits.diffusion_measure import (
    everywhere,
    evidence_gap,
    share_interval,
    token_acceptance,
)
from spectheory.digits.diffusion_model import parameters
from spectheory.digits.diffusion_pair import SEEDS, load_pair, train_pair
from spectheory.digits.frechet import features, frechet_distance, frechet_test
from spectheory.digits.weights import CHECKSUMS, FOLDER
from spectheory.errors import EmptyResidual, InputError, ShapeError, SourceUnavailable


@pytest.fixture(scope="module")
def pair():
    return load_pair(0)


@pytest.fixture(scope="module")
def samplers(pair):
    return tuple(Sampler(model, Sampling()) for model in pair)


def generator(seed=0):
    return np.random.default_rng(seed)


# -- schedule and kernels --------------------------------------------------------------------


def test_schedule_holds_the_moments_of_the_posterior():
    schedule = DiffusionSchedule(steps=20, floor=0.1)
    for t in range(2, 21):
        before, now = schedule.signal[t - 1], schedule.signal[t]
        # Condition the joint Gaussian of (x_{t-1}, x_t) given x_0, as matrices.
        mean = np.sqrt([before, now])
        keep = now / before
        covariance = np.array([[1 - before, np.sqrt(keep) * (1 - before)], [0, 1 - now]])
        weight = covariance[0, 1] / covariance[1, 1]
        assert schedule.state_weight[t] == pytest.approx(weight)
        assert schedule.clean_weight[t] == pytest.approx(mean[0] - weight * mean[1])
        variance = covariance[0, 0] - weight * covariance[0, 1]
        assert schedule.scale[t] ** 2 == pytest.approx(variance)
    assert schedule.signal[20] < 1e-4  # x_T is pure noise


@pytest.mark.parametrize(("steps", "floor"), [(0, 0.1), (20, 0.0), (20, math.inf)])
def test_bad_schedule(steps, floor):
    with pytest.raises(InputError, match=r"`steps`|`floor`"):
        DiffusionSchedule(steps, floor)


def chain(model, sampling, n=50, seed=0):
    data = digits("test")
    rows = np.arange(n)
    return Sampler(model, sampling).chain(data.tokens, data.labels, rows, rows % 16)


def test_temperature_and_guidance(pair):
    x = generator().standard_normal((50, 4))
    cold, hot = (chain(pair.target, Sampling(temperature=tau)) for tau in (1.0, 1.3))
    assert np.array_equal(cold.kernel(7, x).mean, hot.kernel(7, x).mean)
    assert hot.kernel(7, x).scale == pytest.approx(1.3 * cold.kernel(7, x).scale)
    # Guidance w moves the clean estimate from the unlabelled one: linear in w where not clamped.
    clean = {
        w: chain(pair.target, Sampling(guidance=w)).kernel(1, x).mean for w in (0.0, 0.5, 1.0, 2.0)
    }
    assert np.abs(clean[0.5] - (clean[0.0] + clean[1.0]) / 2).max() < 1e-6
    assert np.abs(clean[0.0] - clean[1.0]).max() > 0.05
    assert np.abs(clean[2.0]).max() <= 1


def test_a_token_depends_on_earlier_ones_only(pair):
    data = digits("test")
    tokens = data.tokens[:20].copy()
    x, rows, at = generator().standard_normal((20, 4)), np.arange(20), np.full(20, 6)
    sampler = Sampler(pair.target, Sampling())
    before = sampler.chain(tokens, data.labels, rows, at).kernel(3, x).mean
    tokens[:, 6:] = 0.3
    assert np.allclose(sampler.chain(tokens, data.labels, rows, at).kernel(3, x).mean, before)
    tokens[:, 5] = 0.3
    after = sampler.chain(tokens, data.labels, rows, at).kernel(3, x).mean
    assert np.abs(after - before).max() > 0.01


def test_rows_of_a_chain_keep_their_condition(pair):
    full, x = chain(pair.target, Sampling(guidance=1.5)), generator().standard_normal((3, 4))
    index = np.array([7, 7, 30])
    whole = np.zeros((50, 4))
    whole[[7, 30]] = x[[1, 2]]
    expected = full.kernel(5, whole).mean[index[1:]]
    assert np.allclose(full.rows(index).kernel(5, x).mean[1:], expected, atol=1e-5)


def test_bad_sampling():
    with pytest.raises(InputError, match="`temperature`"):
        Sampling(temperature=0.0)
    with pytest.raises(InputError, match="`guidance`"):
        Sampling(guidance=math.nan)


# -- one token -------------------------------------------------------------------------------

TOKENS_DRAWN = 4_000


def one_place(sampler, n=TOKENS_DRAWN, image=4, position=5):
    """A chain of one place in one image, n times: a law of four pixels."""
    data = digits("test")
    return sampler.chain(data.tokens, data.labels, np.full(n, image), np.full(n, position))


@pytest.fixture(scope="module")
def token_reference(samplers):
    return draw_path(
        one_place(samplers[0], 4 * TOKENS_DRAWN), 4 * TOKENS_DRAWN, generator(9)
    ).sample


@pytest.mark.parametrize(
    "rule",
    [SharedNoise(), IndependentPaths(), SamePath(), StepwiseReflection(), CSpDPublished()],
    ids=lambda rule: rule.key,
)
def test_a_tokens_law_is_the_targets(rule, samplers, token_reference):
    target, draft = (one_place(sampler) for sampler in samplers)
    drawn = rule.draw(target, draft, TOKENS_DRAWN, generator(1))
    assert 0.02 < drawn.accepted.mean() < 0.98
    found = audit_energy(drawn.sample, token_reference)
    assert not found.biased, found
    assert audit_energy(drawn.draft, token_reference).biased


def test_variance_factor_biases_a_token_where_variances_differ(pair, samplers, token_reference):
    target = one_place(samplers[0])
    draft = one_place(Sampler(pair.draft, Sampling(0.2 / 1.02, temperature=1.02)))
    path = draw_path(draft, TOKENS_DRAWN, generator(2))
    factor = np.exp(log_variance_factor(target, draft, path, path.noise))
    assert factor == pytest.approx(1.02 ** (4 * 19))  # four pixels, steps 2 to 20
    published = CSpDPublished().draw(target, draft, TOKENS_DRAWN, generator(3))
    assert audit_energy(published.sample, token_reference).biased
    exact = SharedNoise().draw(target, draft, TOKENS_DRAWN, generator(4))
    assert not audit_energy(exact.sample, token_reference).biased


def test_a_colder_draft_empties_the_published_residual(pair, samplers):
    draft = one_place(Sampler(pair.draft, Sampling(0.2 / 0.97, temperature=0.97)), 500)
    with pytest.raises(EmptyResidual):
        CSpDPublished(most_proposals=1_000).draw(
            one_place(samplers[0], 500), draft, 500, generator()
        )


@pytest.mark.parametrize("floor", [0.02, 0.4])
def test_alignment_raises_acceptance(pair, floor):
    data, rng = digits("test"), generator()
    target, draft = (Sampler(model, Sampling(floor)) for model in pair)
    rules = SharedNoise(), IndependentPaths()
    rates = token_acceptance(target, draft, data.tokens, data.labels, rules, rng)
    # The same by another way: given both noises, 1 - TV = 2 Phi(-gap / 2) of the last kernels.
    n = len(data.labels)
    above, under = (one.chain(data.tokens, data.labels, *everywhere(n)) for one in (target, draft))
    noises = [under.tape(16 * n, rng) for _ in range(2)]
    drafted = under.kernel(1, under.run(noises[0], stop=1)[:, 0]).mean
    known = []
    for noise in noises:
        gap = above.kernel(1, above.run(noise, stop=1)[:, 0]).mean - drafted
        overlap = 2 * norm.cdf(-0.5 * np.linalg.norm(gap, axis=1) / floor)
        known.append(overlap.reshape(n, 16).mean(axis=1))
    for rule, values in zip(rules, known, strict=True):
        error = np.sqrt((values.var() + rates[rule.key].var()) / n)
        assert abs(values.mean() - rates[rule.key].mean()) <= 5 * error
    gain = known[0] - known[1]
    assert gain.mean() > 5 * gain.std() / np.sqrt(n)


# -- whole images ----------------------------------------------------------------------------

IMAGES = 250


@pytest.fixture(scope="module")
def labels():
    return np.arange(IMAGES) % 10


@pytest.fixture(scope="module")
def reference(samplers, labels):
    return plain(samplers[0], labels, generator(10))


@pytest.fixture(scope="module")
def same_law(samplers, labels, reference):
    """p-value that images have the target's law, by how much better it explains them."""
    expected = evidence_gap(*samplers, reference, labels, generator(14))

    def test(tokens):
        found = evidence_gap(*samplers, tokens, labels, generator(15))
        return ks_2samp(found, expected).pvalue

    return test


@pytest.mark.parametrize("rule", [SharedNoise(), StepwiseReflection()], ids=lambda rule: rule.key)
def test_speculative_images_have_the_targets_law(rule, samplers, labels, reference, same_law):
    made = generate(*samplers, labels, rule, generator(11), block=3)
    assert same_law(made.tokens) > 1e-6
    test = frechet_test(features(made.tokens), features(reference), 199, generator())
    assert test.p_value > 0.005  # not beyond all 199 permutations
    assert test.distance < test.null.max()


def test_biased_ways_are_seen(samplers, labels, same_law):
    released = generate(*samplers, labels, CSpDReleased(), generator(12), truncate=False)
    assert same_law(released.tokens) < 1e-6
    assert same_law(plain(samplers[1], labels, generator(13))) < 1e-6


def test_evidence_gap_of_a_model_with_itself_is_zero(samplers, labels, reference):
    target, _ = samplers
    assert not evidence_gap(target, target, reference[:5], labels[:5], generator()).any()
    with pytest.raises(InputError, match="other sampling parameters"):
        evidence_gap(target, Sampler(target.model, Sampling(0.1)), reference, labels, generator())


def test_evidence_is_in_nats_at_any_temperature(samplers, labels, reference):
    """Means do not depend on the temperature, so bounds differ as its square says."""
    gaps = []
    for temperature in (1.0, 2.0):
        pair = (Sampler(one.model, Sampling(0.2, temperature)) for one in samplers)
        gaps.append(evidence_gap(*pair, reference[:5], labels[:5], generator()))
    np.testing.assert_allclose(gaps[0], 4 * gaps[1], rtol=1e-9)


def test_counts_add_up(samplers):
    labels = np.arange(40) % 10
    made = generate(*samplers, labels, SharedNoise(), generator(), block=4, prefill=3)
    replaced = made.tested - made.accepted
    assert ((made.accepted >= 0) & (replaced >= 0) & (replaced <= made.cycles)).all()
    bonus = made.made - made.accepted - replaced
    assert ((bonus >= 0) & (bonus <= made.cycles - replaced)).all()
    assert (made.drafted >= made.tested).all()
    assert (made.made == 13).all()
    assert made.tokens_per_cycle == 40 * 13 / made.cycles.sum()
    assert ((made.proposals > 0) == (replaced > 0)).all()


def test_a_draft_that_is_the_target_always_stands(samplers):
    target, _ = samplers
    made = generate(target, target, np.arange(10), SamePath(), generator(), block=4)
    assert made.acceptance == 1
    # 4 drafts and a bonus token a round: 5 + 5 + 5 + 1.
    assert (made.cycles == 4).all()
    assert (made.drafted == 13).all()


def test_prefill_of_everything_is_plain_sampling(samplers):
    labels = np.arange(10)
    made = generate(*samplers, labels, SharedNoise(), generator(5), prefill=16)
    assert np.array_equal(made.tokens, plain(samplers[0], labels, generator(5)))
    assert made.cycles.sum() == 0


def test_in_place_replaces_and_drops_nothing(samplers):
    made = generate(*samplers, np.arange(30) % 10, SharedNoise(), generator(), truncate=False)
    assert (made.cycles == 4).all()
    assert (made.drafted == 16).all()
    assert (made.tested == 16).all()


@pytest.mark.parametrize("labels", [[10], [-1], [0.5], [[1, 2]], []])
def test_bad_labels(samplers, labels):
    with pytest.raises(InputError, match="`labels`"):
        generate(*samplers, np.array(labels), SharedNoise(), generator())


def test_bad_block(samplers):
    with pytest.raises(InputError, match="`block`"):
        generate(*samplers, np.arange(2), SharedNoise(), generator(), block=0)


# -- measurements ----------------------------------------------------------------------------


def test_frechet_distance_of_known_gaussians():
    x = generator().normal(size=(400_000, 3))
    y = generator(1).normal(size=(400_000, 3)) * [1.0, 2.0, 0.5] + [0.0, 1.0, 0.0]
    # |m|^2 + sum (s1 - s2)^2 for diagonal covariances.
    assert frechet_distance(x, y) == pytest.approx(1 + 1 + 0.25, abs=0.02)
    with pytest.raises(ShapeError, match="features"):
        frechet_distance(x, y[:, :2])


def test_rows_are_dealt_within_their_labels():
    """Two clouds far apart, half of each set in either: only a dealing by label sees the shift."""
    labels, rng = np.arange(40) % 2, generator(3)
    one, two = (rng.normal(size=(40, 2)) + 20 * labels[:, None] * [1, 0] for _ in range(2))
    moved = two + np.array([0.0, 1.5])
    assert frechet_test(one, moved, 199, generator(), labels=labels).p_value <= 0.02
    assert frechet_test(one, moved, 199, generator()).p_value > 0.05
    assert frechet_test(one, two, 199, generator(), labels=labels).p_value > 0.005
    with pytest.raises(ShapeError, match="`labels` has 39 rows"):
        frechet_test(one, two, 9, generator(), labels=labels[1:])


def test_features_keep_most_of_the_variance():
    tokens = digits("all").tokens
    kept, whole = features(tokens).var(axis=0).sum(), tokens.reshape(len(tokens), -1).var(axis=0)
    assert 0.92 < kept / whole.sum() < 0.93


def test_interval_covers():
    rng = generator()
    hits = 0
    for seed in range(200):
        tested = rng.integers(5, 12, size=80)
        accepted = rng.binomial(tested, rng.beta(3, 2, size=80))
        _, low, high = share_interval(accepted, tested, 300, seed)
        hits += low <= 0.6 <= high
    assert 0.87 < hits / 200 <= 1  # 95% nominal; below 0.87 has probability 1e-5 even at 94%


# -- weights ---------------------------------------------------------------------------------


def test_weights_are_small_and_pinned():
    pinned = tomllib.loads((FOLDER / CHECKSUMS).read_text(encoding="utf-8"))
    mine = [name for name in pinned if name.startswith("diffusion-")]
    assert len(mine) == 2 * len(SEEDS)
    assert sum((FOLDER / name).stat().st_size for name in mine) < 1_000_000
    for name in mine:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == pinned[name]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pair_loads(seed):
    pair = load_pair(seed)
    assert (parameters(pair.target), parameters(pair.draft)) == (96_564, 7_372)
    assert not any(torch.isnan(value).any() for value in pair.target.state_dict().values())


def test_unknown_seed():
    with pytest.raises(SourceUnavailable, match="diffusion-target-9"):
        load_pair(9)


def test_checkpoints_of_another_loss_or_other_data_are_refused(tmp_path, monkeypatch):
    others = {"NOISES": 3, "BATCH": 32, "digits": lambda part: digits("test")}

    def silent(label, total):
        return nullcontext(lambda done: None)

    monkeypatch.setattr(diffusion_pair, "STEPS", {"target": 2, "draft": 1})
    for _ in range(2):
        train_pair(0, tmp_path, silent, tmp_path / "weights")
    for name, other in others.items():
        with monkeypatch.context() as patch:
            patch.setattr(diffusion_pair, name, other)
            with pytest.raises(InputError, match="other settings"):
                train_pair(0, tmp_path, silent, tmp_path / "weights")
