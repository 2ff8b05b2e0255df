"""The audit's simulations: resumable, complete, and what they render is what they measured."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

import sims.audit_false_alarms as false_alarms
import sims.audit_power as power
from sims.ledger import fill
from sims.runner import Place
from spectheory.audit.biases import DIRECTIONS
from spectheory.audit.run import Job, audit_sampler
from spectheory.audit.sampler import categorical


def test_a_ledger_goes_on_after_a_line_that_was_cut_off(tmp_path):
    path, keys, called = tmp_path / "rows.jsonl", [("a", 1), ("a", 2), ("b", 1)], []

    def work(name, number):
        called.append((name, number))
        return {"value": f"{name}{number}"}

    wanted = fill(path, keys, work, "rows")
    path.write_bytes(path.read_bytes()[:-5])
    called.clear()
    assert fill(path, keys, work, "rows") == wanted
    assert called == [("b", 1)]
    assert [json.loads(line)[0] for line in path.read_text().splitlines()] == [
        list(k) for k in keys
    ]


def test_clopper_and_pearson_cover_with_the_stated_probability():
    for rate in (0.01, 0.3):
        covered = sum(
            binom.pmf(count, 200, rate)
            for count in range(201)
            if false_alarms.interval(count, 200)[0] <= rate <= false_alarms.interval(count, 200)[1]
        )
        assert covered >= 0.99


def test_false_alarm_table_of_a_few_short_audits(tmp_path, monkeypatch):
    few = {k: v for k, v in false_alarms.CASES.items() if "50,257" not in k}
    monkeypatch.setattr(false_alarms, "CASES", few)
    config = false_alarms.Config(runs=2, draws=1_500)
    table = false_alarms.run(config, Place(tmp_path))
    assert len(table) == 2 * len(few)
    assert int(table["alarm"].sum()) <= binom.ppf(1 - 1e-6, len(table), config.alpha)
    text = false_alarms.render(config, table)
    assert f"| **all** | {len(table)} | {int(table['alarm'].sum())} |" in text


def test_no_two_false_alarm_audits_share_laws_or_random_numbers(monkeypatch):
    jobs = []

    def audit(sampler, job):
        jobs.append(job)
        return SimpleNamespace(biased=False, log_e_peak=0.0)

    monkeypatch.setattr(false_alarms, "audit_sampler", audit)
    config = false_alarms.Config()
    for case in false_alarms.CASES:
        for run in range(3):
            false_alarms.audit_once(config, case, run)
    assert len({job.seed for job in jobs}) == len(jobs) == 3 * len(false_alarms.CASES)
    assert len({job.target.tobytes() for job in jobs}) == len(jobs)
    # Runs of one seed are not those of the next, one place on.
    seeds = {job.seed for job in jobs}
    jobs.clear()
    for run in range(3):
        false_alarms.audit_once(false_alarms.Config(seed=1), "rejection, V = 8", run)
    assert seeds.isdisjoint(job.seed for job in jobs)


def test_measured_audits_share_no_random_numbers_and_not_those_of_the_laws(monkeypatch):
    tapes, config = [], power.Config(size=400)

    def recorded(law, uniforms):
        tapes.append(uniforms[:2].tobytes())
        return categorical(law, uniforms)

    monkeypatch.setattr(power, "categorical", recorded)
    for direction in DIRECTIONS:
        for draws in (100, 200):
            for run in range(2):
                power.measure(config, direction, draws, 0.01, run)
    assert len(set(tapes)) == len(tapes) == 4 * len(DIRECTIONS)
    assert np.random.default_rng(config.seed).random(2).tobytes() not in tapes


def test_power_table_of_a_small_vocabulary(tmp_path):
    config = power.Config(size=400, draws=(300, 3_000), runs=(1, 2))
    table = power.run(config, Place(tmp_path))
    battery = table.filter(table["test"] == "battery").sort("direction", "draws")
    assert len(battery) == 12
    for row in battery.iter_rows(named=True):
        alone = table.filter(
            (table["direction"] == row["direction"])
            & (table["draws"] == row["draws"])
            & (table["test"] != "battery")
        )["bias"]
        assert row["bias"] == alone.min()
    fewer, more = (battery.filter(battery["draws"] == n)["bias"] for n in config.draws)
    assert all(b < a for a, b in zip(fewer, more, strict=True) if a is not None)
    assert "| draft |" in power.render(config, table)


@pytest.mark.parametrize("case", false_alarms.CASES)
def test_cases_are_audits_that_could_fail(case):
    """The same laws with drafts always accepted are found out, unless p and q are the same."""
    target, draft, _ = false_alarms.CASES[case].job(np.random.default_rng(0))
    wrong = draft
    if draft is None or (np.shape(draft) == np.shape(target) and (draft == target).all()):
        wrong = np.sqrt(target) / np.sqrt(target).sum()

    def sampler(p, q, n, seed):
        law = wrong if wrong.ndim == 1 else wrong[(target == p).all(axis=1)][0]
        return categorical(law, np.random.default_rng(seed).random(n))

    assert audit_sampler(sampler, Job(target, draft, 0.01, 20_000)).biased
