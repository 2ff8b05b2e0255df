"""``spectheory optimum``: value, certificate, plan."""

from __future__ import annotations

import itertools
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from spectheory.drafting.scheme import scheme, schemes
from spectheory.transport.optimal_plan import optimal_plan

FIELDS = {
    "value",
    "scheme",
    "k",
    "positions",
    "primal",
    "dual",
    "gap",
    "certified",
    "witness_size",
    "seconds",
}
TARGET = [[5, 2, 1, 4], [1, 0, 6, 3]]
DRAFT = [[2, 3, 4, 1], [3, 2, 2, 3]]
SLOTS = [[[2, 3, 4, 1], [4, 1, 1, 1], [1, 1, 1, 2]], [[3, 2, 2, 3], [1, 5, 1, 1], [2, 2, 0, 3]]]


def best_subset(p: np.ndarray, q: np.ndarray, k: int, key: str) -> tuple[Fraction, set[int]]:
    """``min over H of 1 + p(H) - Q(H)`` on Fractions over all subsets; sizes of the minimisers."""
    tuples, mass = scheme(key).law(q, k)
    found: dict[Fraction, set[int]] = {}
    for size in range(len(p) + 1):
        for subset in itertools.combinations(range(len(p)), size):
            inside = np.isin(tuples, subset).all(axis=-1)
            value = 1 + sum(p[list(subset)]) - sum(mass[inside], Fraction(0))
            found.setdefault(value, set()).add(size)
    return min(found), found[min(found)]


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("key", sorted(schemes()))
def test_value_is_the_best_subset_on_fractions(run, saved, fractions, key, k):
    p = fractions(TARGET[0])
    q = fractions(SLOTS[0][:k] if scheme(key).per_slot else DRAFT[0])
    done = run("optimum", saved("p", p), saved("q", q), "--k", k, "--scheme", key, "--json")
    assert (done.code, done.err) == (0, "")
    document = done.document
    assert document.keys() >= FIELDS
    value, sizes = best_subset(p, q, k, key)
    assert document["value"] == pytest.approx(float(value), abs=1e-12)
    assert document["dual"] == pytest.approx(float(value), abs=1e-12)
    assert document["primal"] == pytest.approx(float(value), abs=1e-9)
    assert document["gap"] == pytest.approx(document["dual"] - document["primal"], abs=1e-15)
    assert document["certified"] is True
    assert (document["scheme"], document["k"], document["positions"]) == (key, k, 1)
    assert document["witness_size"] in sizes
    assert document["seconds"] >= 0


@pytest.mark.parametrize("key", sorted(schemes()))
def test_several_positions_give_means_lists_and_plans(run, saved, fractions, tmp_path, key):
    k = 2
    p = fractions(TARGET)
    q = fractions([slots[:k] for slots in SLOTS] if scheme(key).per_slot else DRAFT)
    plan = tmp_path / "plan.npz"
    done = run(
        *("optimum", saved("p", p), saved("q", q), "--k", k, "--scheme", key),
        *("--json", "--plan", plan),
    )
    assert (done.code, done.err) == (0, "")
    document = done.document
    wanted = [best_subset(p[i], q[i], k, key) for i in range(2)]
    assert document["positions"] == 2
    assert document["values"] == pytest.approx([float(value) for value, _ in wanted], abs=1e-12)
    assert document["value"] == pytest.approx(sum(document["values"]) / 2, abs=1e-15)
    assert document["plan_gap"] == pytest.approx(0, abs=1e-9)
    assert all(n in sizes for n, (_, sizes) in zip(document["witness_size"], wanted, strict=True))
    check_plan(plan, p.astype(float), document["values"])


@pytest.mark.parametrize("key", sorted(schemes()))
def test_plan_of_one_position_recombines_to_the_target(run, saved, fractions, tmp_path, key):
    p = fractions(TARGET[0])
    q = fractions(SLOTS[0] if scheme(key).per_slot else DRAFT[0])
    plan = tmp_path / "plan.npz"
    done = run(
        *("optimum", saved("p", p), saved("q", q), "--k", 3, "--scheme", key),
        *("--json", "--plan", plan),
    )
    assert done.code == 0, done.err
    check_plan(plan, p.astype(float), done.document["value"])


def test_a_plan_that_falls_short_says_by_how_much(run, saved, tmp_path, monkeypatch):
    """The mixture is ended after its first round: one order, where equal laws need several."""
    module = "spectheory.transport.optimal_plan.optimal_plan"
    monkeypatch.setattr(module, partial(optimal_plan, gap=1.0))
    law = saved("law", [0.25] * 4)
    plan = tmp_path / "plan.npz"
    arguments = ("optimum", law, law, "--k", 2, "--scheme", "distinct")
    document = run(*arguments, "--plan", plan, "--json").document
    with np.load(plan) as arrays:
        short = document["value"] - arrays["accepted_mass"].sum()
    # The highest of two of four tokens: with probabilities 3, 2, 1 and 0 in 6.
    assert short == pytest.approx(1 - (1 / 4 + 1 / 4 + 1 / 6), abs=1e-12)
    assert document["plan_gap"] == pytest.approx(short, abs=1e-12)


def check_plan(path, target, value) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays.files) == {"accepted_mass", "residual"}
        accepted, residual = arrays["accepted_mass"], arrays["residual"]
    assert accepted.shape == residual.shape == target.shape
    total = accepted.sum(axis=-1, keepdims=True)
    assert np.abs(accepted + (1 - total) * residual - target).max() <= 1e-12
    assert np.all(accepted >= 0)
    assert np.all(residual >= 0)
    assert residual.sum(axis=-1) == pytest.approx(1)
    assert total[..., 0] == pytest.approx(np.asarray(value), abs=1e-9)


def test_text_is_one_line_with_the_value_first(run, saved):
    done = run("optimum", saved("p", [0.5, 0.3, 0.2]), saved("q", [0.2, 0.3, 0.5]), "--k", 2)
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    # H = {1, 2}: 1 + (0.3 + 0.2) - 0.8 ** 2.
    assert float(line.split()[0]) == pytest.approx(0.86)
    assert "iid" in line
    assert "k = 2" in line
    assert "certified" in line


def test_plan_into_a_missing_folder_is_refused(run, saved, tmp_path):
    law = saved("p", [0.5, 0.5])
    plan = tmp_path / "none" / "plan.npz"
    assert "--plan" in run("optimum", law, law, "--k", 1, "--plan", plan, "--json").complaint
    assert not plan.exists()


def test_equal_laws_and_disjoint_supports(run, saved):
    here, there = saved("here", [1.0, 0.0]), saved("there", [0.0, 1.0])
    assert run("optimum", here, here, "--k", 3, "--json").document["value"] == 1
    assert run("optimum", here, there, "--k", 3, "--json").document["value"] == 0
