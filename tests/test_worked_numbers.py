"""The worked examples of the theory, against the library.

The numbers stand in literature/worked_examples.toml with how they were computed (brute force over
subsets, the linear program, or by hand); nothing here was printed by this library first.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import scheme
from spectheory.literature.reported import reported
from spectheory.transport.subset_dual import optimal_value
from spectheory.verification.k_seq import KSeq
from spectheory.verification.rule import rule, rules

EXAMPLES = reported("worked_examples")


def exact(values: list[str]) -> np.ndarray:
    return np.array([Fraction(v) for v in values], dtype=object)


def normalised(values: list[float]) -> np.ndarray:
    return np.array(values) / sum(values)


def acceptance(key, target, draft, k, under="iid"):
    """Acceptance by enumeration on Fractions."""
    return enumerate_rule(rule(key), scheme(under), target, draft, k).acceptance


FIGURE_2 = EXAMPLES["canonical_decomposition_figure_2"].value


@pytest.mark.parametrize("row", FIGURE_2, ids=lambda row: f"c={row['c']},x={row['x']}")
@pytest.mark.parametrize("mirrored", [False, True])
def test_figure_2_of_the_canonical_decomposition(row, mirrored):
    c, x = Fraction(row["c"]), Fraction(row["x"])
    x = 1 - c - x if mirrored else x  # the table is symmetric in the last two tokens
    target = np.array([c, x, 1 - c - x], dtype=object)
    draft = exact(["1/3", "1/3", "1/3"])
    found = {
        "optimal_iid": optimal_value(target, draft, 2),
        "k_seq": acceptance("k_seq", target, draft, 2),
        "recursive": acceptance("recursive", target, draft, 2),
        "optimal_without_replacement": optimal_value(target, draft, 2, "without_replacement"),
        "recursive_without_replacement": acceptance(
            "recursive_without_replacement", target, draft, 2, "without_replacement"
        ),
    }
    for name, value in found.items():
        assert float(value) == pytest.approx(row[name], abs=6e-7), name
    # The greedy draft's fixed token is a tie: the table takes the token of target mass c.
    greedy = acceptance("greedy_optimal", target, draft, 2, "greedy")
    assert greedy == optimal_value(target, draft, 2, "greedy")
    assert float(greedy) == pytest.approx(row["greedy"], abs=6e-7)


@pytest.mark.parametrize(
    "key", [r.key for r in rules().values() if r.lossless and r.exact and r.serves("iid", 1)]
)
def test_one_draft_is_accepted_with_one_minus_total_variation(key):
    target, draft = exact(["3/10", "2/5", "3/10"]), exact(["3/5", "3/10", "1/10"])
    found = acceptance(key, target, draft, 1)
    if rule(key).maximal_at_one:
        assert found == Fraction(7, 10)
    else:
        assert found < Fraction(7, 10)


def test_cover_example():
    target, draft = exact(["1", "0"]), exact(["1/2", "1/2"])
    wanted = EXAMPLES["cover"].value
    for k in (1, 2, 3, 4):
        assert optimal_value(target, draft, k) == 1 - Fraction(1, 2**k)
    assert optimal_value(target, draft, 2) == wanted["optimal_iid"]
    for key in ("k_seq", "recursive"):
        assert acceptance(key, target, draft, 2) == pytest.approx(wanted[key], abs=1e-12)
    law = "without_replacement"
    assert optimal_value(target, draft, 2, law) == wanted["optimal_without_replacement"]
    found = acceptance("recursive_without_replacement", target, draft, 2, law)
    assert found == wanted["recursive_without_replacement"]


def test_sampling_from_the_target_is_not_optimal():
    example = EXAMPLES["sampling_is_not_optimal"].value
    target = exact(example["target"])
    verdict = rule("nss").verdict(target, target, np.array([0]))
    assert verdict.acceptance() == Fraction(str(example["nss"]))
    assert optimal_value(target, target, 1) == example["optimal"]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("a", ["1/5", "1/2", "9/10"])
@pytest.mark.parametrize("first", ["0", "1/25", "1/3", "19/20", "1"])
def test_two_tokens_have_a_closed_form(first, a, k):
    p, a = Fraction(first), Fraction(a)
    target, draft = exact([p, 1 - p]), exact([a, 1 - a])
    wanted = 1 + min(0, p - a**k, (1 - p) - (1 - a) ** k)
    assert optimal_value(target, draft, k) == wanted


def test_traversal_example():
    example = EXAMPLES["traversal_example"].value
    target, draft = exact(example["target"]), exact(example["draft"])
    assert float(acceptance("rejection", target, draft, 1)) == pytest.approx(example["rejection"])
    for key in ("nss", "recursive", "k_seq"):
        found = float(acceptance(key, target, draft, 2))
        assert found == pytest.approx(example[key], abs=1e-9), key
    assert float(KSeq().slowdown(target[None], draft[None], 2)[0, 0]) == pytest.approx(
        example["rho"], abs=1e-9
    )
    assert float(optimal_value(target, draft, 2)) == pytest.approx(example["optimal_iid"])
    law = "without_replacement"
    found = acceptance("recursive_without_replacement", target, draft, 2, law)
    assert float(found) == pytest.approx(example["recursive_without_replacement"])
    found = optimal_value(target, draft, 2, law)
    assert float(found) == pytest.approx(example["optimal_without_replacement"], abs=5e-7)
    found = acceptance("greedy_optimal", target, draft, 2, "greedy")
    assert float(found) == pytest.approx(example["greedy"])
    # Drafts without replacement and a weak verifier lose to i.i.d. drafts and the optimal one.
    assert acceptance("recursive_without_replacement", target, draft, 2, law) < optimal_value(
        target, draft, 2
    )


def test_traversal_example_step_by_step():
    example = EXAMPLES["traversal_example"].value
    steps = EXAMPLES["traversal_example_steps"].value
    target, draft = exact(example["target"]), exact(example["draft"])
    r = rule("recursive_without_replacement")
    after_one = r.verdict(target, draft, np.array([0]))
    assert list(after_one.residual) == list(exact(steps["residual"]))
    after_two = r.verdict(target, draft, np.array([0, 1]))
    assert after_two.accept[1] == Fraction(steps["accept_second"])


def test_quadratic_ramp():
    size = 4000
    wanted = {name: float(Fraction(v)) for name, v in EXAMPLES["quadratic_ramp"].value.items()}
    i = np.arange(1, size + 1)
    target, draft = (2 * i - 1) / size**2, np.full(size, 1 / size)
    close = pytest.approx
    assert float(rule("rejection").rates(target, draft, 1).ladder) == close(
        wanted["rejection"], abs=1e-3
    )
    for key in ("recursive", "k_seq", "nss"):
        found = float(rule(key).rates(target, draft, 2).acceptance)
        assert found == close(wanted[key], abs=1e-3), key
    rho = KSeq().slowdown(target[None], draft[None], 2)
    assert float(rho[0, 0]) == close(wanted["rho"], abs=1e-3)
    greedy = rule("greedy_optimal").rates(target, draft, 2, "greedy")
    assert float(greedy.acceptance) == close(wanted["greedy"], abs=1e-3)
    for k in (2, 3):
        for v in (2, 5, 9):
            ramp = np.array([Fraction(j**k - (j - 1) ** k, v**k) for j in range(1, v + 1)])
            flat = np.array([Fraction(1, v)] * v, dtype=object)
            assert optimal_value(ramp, flat, k) == 1


@pytest.mark.parametrize("key", ["k_seq", "recursive"])
def test_smallest_ratios_known(key):
    example = EXAMPLES[f"worst_ratio_{key}"].value
    target, draft = exact(example["target"]), exact(example["draft"])
    best = optimal_value(target, draft, 2)
    assert best == Fraction(example["optimal"])
    ratio = acceptance(key, target, draft, 2) / best
    assert float(ratio) == pytest.approx(float(Fraction(example["ratio"])), abs=1e-12)


def test_rare_drafts():
    wanted = {name: float(Fraction(v)) for name, v in EXAMPLES["rare_drafts"].value.items()}
    e = Fraction(1, 10**7)
    target, draft = exact(["1/2", "1/2", "0"]), exact([e, 1 - 2 * e, e])
    law = "without_replacement"
    found = acceptance("recursive_without_replacement", target, draft, 2, law)
    assert float(found) == pytest.approx(wanted["recursive_without_replacement"], abs=1e-5)
    assert float(optimal_value(target, draft, 2, law)) == pytest.approx(1, abs=1e-5)
    assert float(optimal_value(target, draft, 2, "greedy")) == pytest.approx(
        wanted["greedy"], abs=1e-5
    )


@pytest.mark.parametrize("example", EXAMPLES["no_dominance"].value, ids=["0", "1", "2"])
def test_no_draft_law_dominates(example):
    target, draft = normalised(example["target"]), normalised(example["draft"])
    for law in ("greedy", "without_replacement", "iid"):
        if law in example:
            found = float(optimal_value(target, draft, example["k"], law))
            assert found == pytest.approx(example[law], abs=2e-3), law


def test_limits_in_k():
    target, draft = exact(["1/5", "3/10", "1/2"]), exact(["1/2", "1/2", "0"])
    assert float(optimal_value(target, draft, 200)) == pytest.approx(0.5, abs=1e-12)
    assert optimal_value(target, draft, 2, "without_replacement") == Fraction(1, 2)
    for k in (1, 2, 5):
        assert optimal_value(target, target, k) == 1
        assert KSeq().slowdown(target[None], target[None], k)[0, 0] == 1


@pytest.mark.parametrize("k", [2, 3])
def test_acceptance_is_one_exactly_if_no_subset_is_overdrafted(k):
    rng = np.random.default_rng(k)
    seen = set()
    for _ in range(200):
        draft, mixed = (rng.integers(1, 7, 3) for _ in range(2))
        draft = np.array([Fraction(int(w), int(draft.sum())) for w in draft], dtype=object)
        target = np.array([Fraction(int(w), int(mixed.sum())) for w in mixed], dtype=object)
        subsets = [[x for x in range(3) if s >> x & 1] for s in range(8)]
        covered = all(sum(target[h]) >= sum(draft[h]) ** k for h in subsets)
        seen.add(covered)
        assert (optimal_value(target, draft, k) == 1) == covered
    assert seen == {True, False}


def test_heterogeneous_prefix_is_only_a_bound():
    example = EXAMPLES["heterogeneous_trap"].value
    target = normalised(example["target"])
    drafts = np.stack([normalised(q) for q in example["drafts"]])
    bound = float(optimal_value(target, drafts, 2, "heterogeneous"))
    assert bound == pytest.approx(example["best_prefix"], abs=2e-5)
    truth = 1 + min(
        sum(target[h]) - np.prod([sum(q[h]) for q in drafts])
        for h in ([x for x in range(4) if s >> x & 1] for s in range(16))
    )
    assert truth == pytest.approx(example["optimal"], abs=2e-5)
    assert truth < bound
