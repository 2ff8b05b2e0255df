"""``spectheory overlap``: values, the table, estimates, and what it refuses."""

from __future__ import annotations

import json
import math

import pytest
from scipy.stats import norm


def test_values_for_a_shift(run):
    document = run("overlap", "normal(1, 1)", "normal(0, 1)", "--k", 4, "--json").document
    assert document["overlap"]["exact"] is True
    assert document["overlap"]["value"] == pytest.approx(2 * norm.cdf(-0.5), abs=1e-12)
    assert document["optimum"] == pytest.approx(0.924197, abs=5e-7)
    rules = {row["key"]: row for row in document["rules"]}
    assert rules["k_seq"]["acceptance"] == pytest.approx(0.839246, abs=5e-7)
    assert rules["recursive"]["acceptance"] == pytest.approx(0.797811, abs=5e-7)
    assert rules["optimal"]["acceptance"] == pytest.approx(document["optimum"], abs=1e-5)
    assert (rules["reflection"]["drafts"], rules["optimal"]["drafts"]) == (1, 4)
    for bound in document["bounds"]:
        below = bound["value"] <= document["overlap"]["value"] + 1e-12
        assert below == (bound["side"] == "lower")


@pytest.mark.parametrize(
    ("target", "draft", "value"),
    [
        ("laplace(1.3,0.8)", "laplace(0,0.8)", math.exp(-1.3 / 1.6)),
        ("uniform(0,2)", "uniform(1,4)", 1 / 3),
        ("exponential(1)", "exponential(2.5)", 0.674270),
        ("uniform(0,1)", "uniform(3,4)", 0.0),
    ],
)
def test_families(run, target, draft, value):
    document = run("overlap", target, draft, "--json").document
    assert document["overlap"]["value"] == pytest.approx(value, abs=5e-7)
    assert document["optimum"] == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("mean", [0, 1])
def test_deviations_a_hundred_orders_apart(run, mean):
    """The narrow one lies under the wide one but beyond ``+-d``: ``P(|Z| > d) + q(m) 2 d s``."""
    document = run("overlap", f"normal({mean},1e-100)", "normal(0,1)", "--json").document
    crossing = math.sqrt(2 * 100 * math.log(10) + mean**2)
    inside = 2e-100 * crossing * norm.pdf(mean)
    assert document["overlap"]["log"] == pytest.approx(
        math.log(inside + 2 * norm.sf(crossing)), abs=1e-12
    )
    assert run("overlap", "normal(1e100,1)", "normal(0,1)").code == 0


def test_table_and_files(run, tmp_path):
    mixture = tmp_path / "mixture.json"
    mixture.write_text(
        '{"weights": [0.3, 0.7], "components": ["normal(-1,0.2)", "student(3,1,1)"]}'
    )
    done = run("overlap", mixture, "normal(0,1.5)", "--k", 2)
    assert (done.code, done.err) == (0, "")
    assert "level crossings" in done.out
    for word in ("Hellinger", "Chernoff", "optimal", "k_seq", "recursive"):
        assert word in done.out
    vectors = [tmp_path / name for name in ("p.json", "q.json")]
    for path, mean in zip(vectors, (0.0, 0.02), strict=True):
        path.write_text(json.dumps({"mean": [mean] * 10_000}))
    document = run("overlap", *vectors, "--json").document
    assert document["dimension"] == 10_000
    assert document["overlap"]["value"] == pytest.approx(2 * norm.cdf(-1.0), abs=1e-10)


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("norml(0,1)", "expected one of normal(mean, deviation)"),
        ("normal(0,-1)", "`deviation` is -1"),
        ("normal(0)", "has 1 numbers"),
        ("student(x)", "'x' is no number"),
        ("uniform(2,1)", "`low` is to be below `high`"),
        ("normal(nan,1)", "finite"),
        ("normal(0,inf)", "finite"),
        ("normal(0,1e200)", "`deviation` is 1e+200; expected 1e-150 to 1e+150"),
        ("normal(0,1e-160)", "`deviation` is 1e-160; expected 1e-150 to 1e+150"),
        ("normal(0,1e145)", "variances of 1e+290 to 1e+290 times those of `draft`"),
        ("normal(1e200,1)", "inf deviations apart; expected less than 1e+140"),
        ("normal(1e100,1e-130)", "inf deviations apart"),
        ("normal(0,,1)", "'normal(0,,1)' has an empty place"),
        ("student(,3)", "'student(,3)' has an empty place"),
        ("exponential(1,)", "has an empty place"),
        ("exponential()", "has 0 numbers"),
        ("exponential(1e-310)", "`1 / rate` is inf"),
        ("uniform(-1e308,1e308)", "`high - low` is inf"),
        ("missing.json", "No such file"),
    ],
)
def test_refusals(run, target, complaint):
    assert complaint in run("overlap", target, "normal(0,1)").complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds neither"),
        ('{"weights": [0.5], "components": ["normal(0,1)", "normal(0,1)"]}', "2 components"),
        ('{"weights": [1], "components": [3]}', "expected texts"),
        ('{"mean": [0, 0]}', "expected densities on one space"),
    ],
)
def test_refused_files(run, tmp_path, text, complaint):
    path = tmp_path / "law.json"
    path.write_text(text)
    assert complaint in run("overlap", path, "normal(0,1)").complaint
