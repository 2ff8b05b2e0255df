"""``spectheory compare``: every rule that serves, beside the optimum."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import scheme, schemes
from spectheory.transport import max_flow
from spectheory.transport.problem import TransportProblem
from spectheory.verification.rule import rules

TARGET = [[5, 2, 1, 4], [1, 0, 6, 3]]
DRAFT = [[2, 3, 4, 1], [3, 2, 2, 3]]
SLOTS = [[[2, 3, 4, 1], [4, 1, 1, 1], [1, 1, 1, 2]], [[3, 2, 2, 3], [1, 5, 1, 1], [2, 2, 0, 3]]]


def serving(key: str, k: int, lossy: bool = False) -> set[str]:
    return {r.key for r in rules().values() if r.serves(key, k) and (r.lossless or lossy)}


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("key", sorted(schemes()))
def test_numbers_are_those_of_enumeration_on_fractions(run, saved, fractions, key, k):
    p = fractions(TARGET)
    q = fractions([slots[:k] for slots in SLOTS] if scheme(key).per_slot else DRAFT)
    done = run("compare", saved("p", p), saved("q", q), "--k", k, "--scheme", key, "--json")
    assert (done.code, done.err) == (0, "")
    document = done.document
    assert (document["scheme"], document["k"], document["positions"]) == (key, k, 2)
    assert document["rules"].keys() == serving(key, k)

    best = [
        max_flow.solve(TransportProblem.of(p[i], scheme(key).law(q[i], k))).value for i in range(2)
    ]
    assert all(isinstance(value, Fraction) for value in best)
    assert document["optimum"] == pytest.approx(float(sum(best) / 2), abs=1e-12)
    assert document["exact"] is True
    for name, entry in document["rules"].items():
        rule = rules()[name]
        laws = (p, q) if rule.exact else (p.astype(float), q.astype(float))
        each = [enumerate_rule(rule, scheme(key), laws[0][i], laws[1][i], k) for i in range(2)]
        # Rules that iterate stop at a gap of about 1e-9.
        near = 1e-7 if rule.iterative else 1e-12
        for what in ("acceptance", "ladder"):
            wanted = float(sum(getattr(found, what) for found in each)) / 2
            assert entry[what] == pytest.approx(wanted, abs=near), (name, what)
        assert entry["acceptance"] <= document["optimum"] + 1e-9, name
        assert entry["ladder"] <= entry["acceptance"] + 1e-12, name
        assert entry["standard_error"] == 0
        assert entry["lossless"] is True


def test_hand_formulas(run, saved):
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    overlap = np.minimum(p, q).sum()
    one = run("compare", saved("p", p), saved("q", q), "--k", 1, "--json").document
    assert one["rules"]["rejection"]["acceptance"] == pytest.approx(overlap, abs=1e-12)
    assert one["optimum"] == pytest.approx(overlap, abs=1e-12)

    two = run("compare", saved("p", p), saved("q", q), "--k", 2, "--json").document["rules"]
    residual = np.maximum(p - q, 0) / (1 - overlap)
    again = np.minimum(residual, q).sum()
    assert two["recursive"]["acceptance"] == pytest.approx(
        1 - (1 - overlap) * (1 - again), abs=1e-12
    )
    assert two["nss"]["acceptance"] == pytest.approx((p * (1 - (1 - q) ** 2)).sum(), abs=1e-12)
    # The ladder tries the first draft only; the residual (all on token 0) hits the second draft.
    assert two["naive"]["ladder"] == pytest.approx(overlap, abs=1e-12)
    assert two["naive"]["acceptance"] == pytest.approx(overlap + (1 - overlap) * q[0], abs=1e-12)
    # K-SEQ: beta(rho) = sum min(p / rho, q), rho solves 1 - (1 - beta)^2 = rho beta.
    low, high = 1.0, 2.0
    for _ in range(100):
        rho = (low + high) / 2
        beta = np.minimum(p / rho, q).sum()
        low, high = (rho, high) if 1 - (1 - beta) ** 2 > rho * beta else (low, rho)
    assert two["k_seq"]["acceptance"] == pytest.approx(1 - (1 - beta) ** 2, abs=1e-9)


def test_greedy_hand_formulas(run, saved):
    p, q = np.array([0.5, 0.1, 0.1, 0.3]), np.array([0.4, 0.3, 0.2, 0.1])
    found = run(
        "compare", saved("p", p), saved("q", q), "--k", 2, "--scheme", "greedy", "--json"
    ).document
    # Token 0 is always drafted; the rest is rejection on the law off it.
    wanted = p[0] + np.minimum(p[1:], q[1:] / q[1:].sum()).sum()
    assert found["optimum"] == pytest.approx(wanted, abs=1e-12)
    assert found["rules"]["greedy_optimal"]["acceptance"] == pytest.approx(wanted, abs=1e-12)


def test_lossy_rules_only_when_asked_for(run, saved):
    p, q = saved("p", [0.5, 0.3, 0.2]), saved("q", [0.2, 0.3, 0.5])
    found = run("compare", p, q, "--k", 2, "--lossy", "--json").document["rules"]
    assert found.keys() == serving("iid", 2, lossy=True)
    assert not found["typical"]["lossless"]
    assert not found["threshold"]["lossless"]


@pytest.mark.parametrize("k", [1, 2])
def test_bias_is_that_of_enumeration_on_fractions(run, saved, fractions, k):
    p, q = fractions(TARGET), fractions(DRAFT)
    command = "compare", saved("p", p), saved("q", q), "--k", k, "--lossy"
    found = run(*command, "--json").document["rules"]
    seen = 0
    for name, entry in found.items():
        if entry["lossless"]:
            assert entry["bias"] == 0
            continue
        laws = [enumerate_rule(rules()[name], scheme("iid"), p[i], q[i], k).law for i in range(2)]
        wanted = sum(abs(law - p[i]).sum() for i, law in enumerate(laws)) / 4
        assert entry["bias"] == pytest.approx(float(wanted), abs=1e-12), name
        seen += wanted > 0
    assert seen >= 2
    assert "bias: total variation" in run(*command).out


def test_sampled_rules_carry_an_error_and_repeat_with_the_seed(run, saved):
    rng = np.random.default_rng(0)
    p, q = (saved(name, rng.dirichlet(np.ones(40), size=3)) for name in "pq")

    def rates(*more):
        command = ("compare", p, q, "--k", 3, "--scheme", "without_replacement", "--json", *more)
        return run(*command).document["rules"]

    first = rates("--seed", 1, "--threads", 1)
    sampled = {name for name, entry in first.items() if entry["standard_error"] > 0}
    assert sampled >= {name for name, entry in first.items() if entry["method"] == "sampling"}
    assert "nss" in sampled
    assert rates("--seed", 1, "--threads", 2) == first
    other = rates("--seed", 2)
    assert {name for name in first if first[name] != other[name]} == sampled
    # P(nss) = sum p(x) P(x is drafted), here by many draws of Gumbel-top-k.
    laws = [(np.load(p)[i], np.load(q)[i]) for i in range(3)]
    noise = np.random.default_rng(1).gumbel(size=(20_000, 40))
    wanted = [a[np.argsort(-(np.log(b) + noise))[:, :3]].sum(axis=-1).mean() for a, b in laws]
    many = rates("--draws", 2000)["nss"]
    error = many["standard_error"]
    assert many["acceptance"] == pytest.approx(np.mean(wanted), abs=5 * error + 0.003)


def test_table_has_a_row_for_each_rule_below_the_optimum(run, saved):
    p, q = saved("p", [0.5, 0.3, 0.2]), saved("q", [0.2, 0.3, 0.5])
    done = run("compare", p, q, "--k", 2)
    assert (done.code, done.err) == (0, "")
    rows = [line.strip("│ ").split("│") for line in done.out.splitlines() if line.startswith("│")]
    names = [row[0].strip() for row in rows]
    assert names[0] == "optimum"
    assert set(names[1:]) == serving("iid", 2)
    accepted = [float(row[1]) for row in rows]
    assert accepted == sorted(accepted, reverse=True)
    assert accepted[0] == pytest.approx(0.86)
    assert "-0.000000" not in done.out


def test_one_draw_has_no_standard_error_and_is_refused(run, saved):
    law = saved("p", [0.5, 0.5])
    assert "--draws" in run("compare", law, law, "--k", 1, "--draws", 1, "--json").complaint
