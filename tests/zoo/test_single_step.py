"""Single steps of the zoo: exact laws against enumeration, draws against exact laws."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.integrate import quad

from spectheory.audit.sequential import audit_law
from spectheory.distributions import top_k
from spectheory.zoo.draft_laws import round_to_bfloat
from spectheory.zoo.entry import Sight, entries, entry
from spectheory.zoo.loop import StreamEntry
from spectheory.zoo.noise_floor import FloorRace
from spectheory.zoo.random_words import coarse_race
from spectheory.zoo.shared_noise import Race
from tests.zoo.oracles import ORACLES

PAIRS = (
    ((500, 250, 120, 80, 42, 8), (300, 100, 400, 120, 75, 5)),
    ((300, 0, 450, 200, 0, 50), (200, 150, 300, 40, 306, 4)),
    ((60, 20, 0, 15, 5, 0), (10, 20, 30, 20, 15, 5)),
)
TOKEN_LEVEL = [key for key, one in entries().items() if not isinstance(one, StreamEntry)]


def laws(weights):
    return [Fraction(w, sum(weights)) for w in weights]


def small(key):
    """Two laws of six tokens, with what the entry's mistake needs: zeros, ties or a tail."""
    p, q = (np.array([float(x) for x in laws(w)]) for w in PAIRS[1])
    if key == "padded_vocabulary":
        return np.append(p, [0.0, 0.0]), np.append(q, [0.0, 0.0])
    if key == "raw_q":
        return top_k(p, 3), q
    return p, q


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("key", ORACLES)
def test_law_is_that_of_enumeration(key, pair):
    p, q = map(laws, pair)
    wanted = [float(x) for x in ORACLES[key](p, q)]
    found = entry(key).output_law(*(np.array([float(x) for x in law]) for law in (p, q)))
    assert np.abs(found - wanted).max() < 1e-14


def test_oracles_cover_all_that_loops_can():
    """The rest have oracles of their own below."""
    others = {
        "bfloat_drafts",
        "half_uniforms",
        "logit_bias_ignored",
        "noise_floor",
        "padded_vocabulary",
        "raw_q",
        "shared_gumbel",
        "temperature_ignored",
    }
    assert set(TOKEN_LEVEL) == set(ORACLES) | others


@pytest.mark.parametrize("key", TOKEN_LEVEL)
def test_draws_follow_the_exact_law(key):
    """False alarm 1e-6 an entry; a law that is off by the entry's own bias would be caught."""
    one = entry(key)
    p, q = small(key)
    law = one.output_law(p, q)
    draws = one(p, q, 100_000, seed=3)
    assert not audit_law(draws.tokens, law / law.sum(), 1e-6).biased
    flags = np.array([1 - one.acceptance(p, q), one.acceptance(p, q)])
    assert not audit_law(draws.accepted.astype(int), flags, 1e-6).biased
    if one.bias(p, q) > 0.02:
        assert audit_law(draws.tokens, p, 1e-6).biased


@pytest.mark.parametrize("key", TOKEN_LEVEL)
def test_mended_the_law_is_the_target(key):
    mended = entry(key).mend()
    for p, q in (small(key), entry(key).case()):
        assert mended.bias(p, q) < 1e-11
    p, q = small(key)
    assert not audit_law(mended(p, q, 100_000, seed=4).tokens, p, 1e-6).biased


@pytest.mark.parametrize("key", TOKEN_LEVEL)
def test_the_case_shows_the_mistake(key):
    one = entry(key)
    p, q = one.case()
    if one.seen_by is Sight.ACCEPTANCE:
        assert one.bias(p, q) < 1e-12
        assert abs(one.acceptance(p, q) - one.mend().acceptance(p, q)) > 0.05
    else:
        assert one.bias(p, q) > 3e-4
    assert one.sources
    assert all(url.startswith("https://") for url in one.sources)


def test_coarse_race_by_enumeration():
    law, steps = np.array([0.55, 0.3, 0.15]), 8
    wins = np.zeros(3)
    for levels in product(range(steps), repeat=3):
        if any(levels):
            arrivals = [
                np.inf if i == 0 else -np.log(i / steps) / q
                for i, q in zip(levels, law, strict=True)
            ]
            wins[int(np.argmin(arrivals))] += 1
    assert np.abs(coarse_race(law, steps) - wins / wins.sum()).max() < 1e-12


def test_half_uniforms_are_those_of_torch():
    torch = pytest.importorskip("torch")
    drawn = torch.rand(200_000, dtype=torch.float16, generator=torch.Generator().manual_seed(0))
    upper = drawn.double().numpy() * 2048
    upper = upper[upper >= 1024]
    assert (upper == np.round(upper)).all()
    assert upper.max() == 2047
    assert not audit_law(upper.astype(int) - 1024, np.full(1024, 1 / 1024), 1e-6, prior=100).biased


def test_floor_race_by_quadrature():
    """P(x wins) integrates the others' survival over x's arrival, its atom included."""
    law, floor = np.array([0.7, 0.25, 0.05]), 0.2

    def alive(token, time):
        """Ties have probability 0: starts differ."""
        return np.exp(-law[token] * time) if time >= floor / law[token] else 1.0

    wanted = []
    for token, rate in enumerate(law):
        others = [z for z in range(3) if z != token]
        start = floor / rate
        atom = -np.expm1(-floor) * np.prod([alive(z, start) for z in others])
        edges = sorted({start, *(floor / law[z] for z in others if floor / law[z] > start), 80.0})
        tail = sum(
            quad(
                lambda s, rate=rate, others=others: (
                    rate * np.exp(-rate * s) * np.prod([alive(z, s) for z in others])
                ),
                low,
                high,
                epsabs=1e-13,
            )[0]
            for low, high in pairwise(edges)
        )
        wanted.append(atom + tail)
    assert np.abs(FloorRace.over(law, floor).law(3) - wanted).max() < 1e-9


def test_floor_race_draws_like_the_race_itself():
    law, floor, n = np.array([0.7, 0.25, 0.03, 0.02]), 0.2, 100_000
    noise = np.maximum(np.random.default_rng(0).exponential(size=(n, 4)), floor)
    race = FloorRace.over(law, floor)
    winners = (noise / law).argmin(axis=1)
    assert not audit_law(winners, race.law(4), 1e-6).biased
    assert not audit_law(race.draw(n, np.random.default_rng(1)), race.law(4), 1e-6).biased
    assert audit_law(winners, law, 1e-6).biased


def test_shared_noise_draws_like_the_gumbels_themselves():
    """The law from the closed form holds for two argmaxes of one noise vector."""
    p = np.array([0.35, 0.05, 0.3, 0.1, 0.2])
    q = np.array([0.15, 0.4, 0.1, 0.3, 0.05])
    rng = np.random.default_rng(5)
    n = 200_000
    noise = rng.gumbel(size=(n, 5))
    drafts = (np.log(q) + noise).argmax(axis=1)
    left = np.maximum(p - q, 0)
    with np.errstate(divide="ignore"):
        replaced = (np.log(left) + noise).argmax(axis=1)
    rejected = rng.random(n) >= np.minimum(1, p / q)[drafts]
    law = Race.among(left / left.sum(), q).law(5)
    assert not audit_law(replaced[rejected], law, 1e-6).biased
    assert audit_law(replaced[rejected], left / left.sum(), 1e-6).biased


def test_noise_floor_loses_the_tail_that_was_reported():
    """The thread counts no tail hit in 100,000 draws where 32.76 were expected."""
    one = entry("noise_floor")
    p, q = one.case()
    head = int(p.argmax())
    tokens = one(p, q, 100_000, seed=0).tokens
    assert (tokens != head).sum() == 0
    assert abs(100_000 * (1 - p[head]) - 32.76) < 0.01
    assert (one.mend()(p, q, 100_000, seed=0).tokens != head).sum() > 10  # 33 expected


def test_rounding_is_bfloat():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).normal(size=10_000) * 20
    wanted = torch.tensor(values, dtype=torch.float32).to(torch.bfloat16).double().numpy()
    assert (round_to_bfloat(values) == wanted).all()


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("temperature_ignored", lambda p: p**0.7 / (p**0.7).sum()),
        ("padded_vocabulary", None),
    ],
)
def test_output_is_the_law_that_the_verifier_reads(key, read):
    p, q = small(key)
    if read is None:
        read_law = p.copy()
        read_law[6:] = 0.45 * np.exp(-9.0)
        read_law /= read_law.sum()
    else:
        read_law = read(p)
    assert np.abs(entry(key).output_law(p, q) - read_law).max() < 1e-14


def test_logit_bias_law():
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.3, 0.3, 0.4])
    before = p * np.array([np.exp(-1.0), 1, 1])
    before /= before.sum()
    taken = np.minimum(q, before)
    left = np.maximum(p - q, 0)
    wanted = taken + (1 - taken.sum()) * left / left.sum()
    assert np.abs(entry("logit_bias_ignored").output_law(p, q) - wanted).max() < 1e-15


def test_raw_q_law():
    p, q = entry("raw_q").case()
    drafted = np.asarray(top_k(q, 50))
    taken = drafted * np.minimum(1, p / q)
    left = np.maximum(p - q, 0)
    wanted = taken + (1 - taken.sum()) * left / left.sum()
    assert np.abs(entry("raw_q").output_law(p, q) - wanted).max() < 1e-15
