"""Bad input: a named error whose message gives the argument, its value and the likely cause."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory import errors, optimal_acceptance, optimal_plan, optimal_value, rule, scheme
from spectheory.audit.sequential import audit_law
from spectheory.distributions import check_pmf, from_logits, top_k, top_p
from spectheory.verdict import Verdict
from spectheory.verification.k_seq import KSeq
from spectheory.verification.threshold import Threshold
from spectheory.verification.typical import Typical

P = np.array([0.5, 0.3, 0.2])
Q = np.array([0.2, 0.3, 0.5])
SPARSE = np.array([0.5, 0.5, 0.0])
NAN = np.array([0.5, np.nan, 0.5])

CASES = {
    "logits for probabilities": (
        lambda: rule("rejection").verdict(np.array([3.0, -1.0, 0.2]), Q, np.array([0])),
        errors.DistributionError,
        r"`target`.*Did you pass logits\?",
    ),
    "unnormalised probabilities": (
        lambda: optimal_value(P * 0.93, Q, 2),
        errors.DistributionError,
        r"`target` sums to 0\.93.*expected 1",
    ),
    "NaN": (lambda: optimal_value(P, NAN, 2), errors.DistributionError, "`draft`.*NaN"),
    "infinite": (
        lambda: check_pmf("target", np.array([np.inf, 0.5])),
        errors.DistributionError,
        "NaN or infinite",
    ),
    "negative by rounding": (
        lambda: check_pmf("draft", np.array([1.0 + 1e-12, -1e-12])),
        errors.DistributionError,
        "negative entry.*Clip and renormalise",
    ),
    "negative Fraction": (
        lambda: check_pmf("draft", np.array([Fraction(3, 2), Fraction(-1, 2)])),
        errors.DistributionError,
        "negative entry, -1/2",
    ),
    "Fraction that does not sum to 1": (
        lambda: check_pmf("draft", np.array([Fraction(1, 3), Fraction(1, 3)])),
        errors.DistributionError,
        "sums to 2/3",
    ),
    "half precision": (
        lambda: check_pmf("target", P.astype(np.float16)),
        errors.DistributionError,
        "dtype float16",
    ),
    "integers": (
        lambda: check_pmf("target", np.array([1, 0])),
        errors.DistributionError,
        "dtype int64",
    ),
    "a list": (lambda: check_pmf("target", [0.5, 0.5]), errors.InputError, "got list"),
    "no vocabulary axis": (lambda: check_pmf("p", np.array(1.0)), errors.ShapeError, r"shape \(\)"),
    "empty vocabulary": (lambda: check_pmf("p", np.zeros((2, 0))), errors.ShapeError, "V >= 1"),
    "vocabulary mismatch": (
        lambda: rule("k_seq").rates(P, np.full(4, 0.25), 2),
        errors.VocabularyMismatch,
        "3 tokens and `draft` over 4.*tokenizers",
    ),
    "k above the support": (
        lambda: scheme("without_replacement").law(SPARSE, 3),
        errors.SupportError,
        "`k` is 3 .* 2 tokens",
    ),
    "greedy k above the support": (
        lambda: optimal_value(P, SPARSE, 3, "greedy"),
        errors.SupportError,
        "2 tokens only",
    ),
    "k of zero": (lambda: optimal_value(P, Q, 0), errors.InputError, "`k` is 0"),
    "k not an integer": (lambda: optimal_value(P, Q, 2.0), errors.InputError, r"`k` is 2\.0"),
    "k a boolean": (lambda: optimal_value(P, Q, True), errors.InputError, "`k` is True"),
    "unknown scheme": (
        lambda: optimal_value(P, Q, 2, "with_replacement"),
        errors.UnknownName,
        "no draft scheme `with_replacement`; there are .*iid",
    ),
    "unknown rule": (lambda: rule("kseq"), errors.UnknownName, "no rule `kseq`; .*k_seq"),
    "rule and scheme do not fit": (
        lambda: rule("k_seq").rates(P, Q, 2, "greedy"),
        errors.SchemeMismatch,
        "covers schemes iid",
    ),
    "too many drafts for the rule": (
        lambda: rule("rejection").verdict(P, Q, np.array([0, 1])),
        errors.SchemeMismatch,
        "`drafts` holds 2 tokens",
    ),
    "too few drafts for the rule": (
        lambda: rule("spechub").verdict(P, Q, np.array([0])),
        errors.SchemeMismatch,
        "from 2 to 2",
    ),
    "token outside the vocabulary": (
        lambda: rule("recursive").verdict(P, Q, np.array([0, 3])),
        errors.ImpossibleDraft,
        "token 3; the vocabulary has tokens 0 to 2",
    ),
    "padding token": (
        lambda: rule("recursive").verdict(P, Q, np.array([0, -1])),
        errors.ImpossibleDraft,
        "token -1.*Padding",
    ),
    "draft of probability zero": (
        lambda: rule("rejection").verdict(P, SPARSE, np.array([2])),
        errors.ImpossibleDraft,
        "slot 0 .* probability 0 under `draft`",
    ),
    "slot laws missing": (
        lambda: scheme("heterogeneous").law(Q, 2),
        errors.ShapeError,
        "one law a slot",
    ),
    "slot laws and drafts differ in number": (
        lambda: rule("recursive").verdict(P, np.stack([Q, Q, Q]), np.array([0, 1])),
        errors.ShapeError,
        "3 slot laws but `drafts` has 2 slots",
    ),
    "slot laws and k differ": (
        lambda: rule("naive").rates(P, np.stack([Q, Q, Q]), 2, "heterogeneous"),
        errors.ShapeError,
        r"expects \(\.\.\., 2, V\): one law for each of k = 2 slots",
    ),
    "positions taken for slot laws": (
        lambda: rule("rejection").rates(np.stack([P] * 4), np.stack([Q] * 4), 1, "heterogeneous"),
        errors.ShapeError,
        "one law for each of k = 1 slots",
    ),
    "one law a slot where there is one law": (
        lambda: rule("k_seq").verdict(P, np.stack([Q, Q]), np.array([0, 1])),
        errors.SchemeMismatch,
        "rule `k_seq` is for iid drafts, all slots of one law",
    ),
    "one law where there is one a slot": (
        lambda: rule("optimal_heterogeneous").verdict(P, Q, np.array([0, 1])),
        errors.SchemeMismatch,
        "rule `optimal_heterogeneous` is for heterogeneous drafts, one law a slot",
    ),
    "slot laws taken for a batch": (
        lambda: rule("recursive").verdict(P, np.stack([Q, Q]), np.zeros((5, 2), int)),
        errors.ShapeError,
        r"`draft` \(2,\), `drafts` \(5,\)",
    ),
    "batches that do not fit": (
        lambda: optimal_value(np.stack([P, P]), np.stack([Q, Q, Q]), 2),
        errors.ShapeError,
        r"`target` \(2,\), `draft` \(3,\)",
    ),
    "lists for arrays": (
        lambda: optimal_value([0.3, 0.7], [0.6, 0.4], 2),
        errors.InputError,
        "got list; wrap it in numpy.asarray",
    ),
    "list of drafts": (
        lambda: rule("rejection").verdict(P, Q, [0]),
        errors.InputError,
        "got list",
    ),
    "drafts that are no integers": (
        lambda: rule("rejection").verdict(P, Q, np.array([0.0])),
        errors.ImpossibleDraft,
        "dtype float64; expected integer",
    ),
    "drafts of a plan that are no integers": (
        lambda: optimal_plan(P, Q, 2).sample(np.array([0.7, 1.0]), np.zeros(3)),
        errors.ImpossibleDraft,
        "dtype float64; expected integer",
    ),
    "Fractions beside floats": (
        lambda: optimal_acceptance(np.array([Fraction(1, 2)] * 2), np.array([0.5, 0.5]), 2),
        errors.InputError,
        "exact beside Fractions only",
    ),
    "greedy drafts out of order": (
        lambda: rule("greedy_optimal").verdict(P, Q, np.array([0, 2])),
        errors.ImpossibleDraft,
        "most probable tokens of `draft`, in order",
    ),
    "greedy drafts, one too many": (
        lambda: optimal_plan(P, Q, 2, "greedy").verdict(np.array([2, 1, 0])),
        errors.ShapeError,
        r"expected \(..., 2\)",
    ),
    "a pair without the hub": (
        lambda: rule("spechub").verdict(P, Q, np.array([0, 1])),
        errors.ImpossibleDraft,
        "without the hub",
    ),
    "a mixture's drafts, one too many": (
        lambda: optimal_plan(P, Q, 2, "distinct").verdict(np.array([2, 1, 0])),
        errors.ShapeError,
        r"expected \(..., 2\)",
    ),
    "a mixture's drafts, repeated": (
        lambda: optimal_plan(P, Q, 2, "distinct").verdict(np.array([2, 2])),
        errors.ImpossibleDraft,
        "draws distinct tokens",
    ),
    "a mixture's slot without that token": (
        lambda: optimal_plan(P, np.stack([Q, SPARSE]), 2, "heterogeneous").verdict(
            np.array([[1, 1], [1, 2]])
        ),
        errors.ImpossibleDraft,
        "slot 1 .* probability 0",
    ),
    "threshold that is none": (
        lambda: Threshold(tau=float("nan")),
        errors.InputError,
        "`tau` is nan",
    ),
    "negative plausibility": (lambda: Typical(delta=-0.1), errors.InputError, "`delta` -0.1"),
    "too many tuples": (
        lambda: scheme("iid").law(np.full(2000, 1 / 2000), 3),
        errors.TooLarge,
        "8,000,000,000 draft tuples",
    ),
    "batched law": (
        lambda: scheme("iid").law(np.stack([P, Q]), 2),
        errors.ShapeError,
        "one position at a time",
    ),
    "draft tape too short": (
        lambda: scheme("iid").sample(Q, 3, np.array([0.5])),
        errors.ShapeError,
        "needs 3",
    ),
    "verdict tape too short": (
        lambda: Verdict(np.array([0]), np.array([0.5]), P).sample(np.array([0.5])),
        errors.ShapeError,
        "expected 2",
    ),
    "rho too small": (
        lambda: KSeq(rho=1.0).rates(P, Q, 3),
        errors.InputError,
        r"`rho` is 1\.0; lossless values run from rho\*",
    ),
    "rho above k": (lambda: KSeq(rho=3.5).rates(P, Q, 3), errors.InputError, "up to k = 3"),
    "negative temperature": (
        lambda: from_logits(np.zeros(3), -1.0),
        errors.InputError,
        "`temperature` is -1",
    ),
    "NaN temperature": (
        lambda: from_logits(np.zeros(3), float("nan")),
        errors.InputError,
        "`temperature` is nan",
    ),
    "row of masked logits": (
        lambda: from_logits(np.full(3, -np.inf)),
        errors.InputError,
        "every token is masked",
    ),
    "top_k of zero": (lambda: top_k(P, 0), errors.InputError, "`top_k` is 0"),
    "top_p of zero": (lambda: top_p(P, 0.0), errors.InputError, "`top_p` is 0"),
    "alpha of one": (
        lambda: audit_law(np.array([0]), P, alpha=1.0),
        errors.InputError,
        "`alpha` is 1",
    ),
    "two array libraries": (
        lambda: rule("rejection").verdict(P, __import__("torch").asarray(Q), np.array([0])),
        errors.InputError,
        "arrays of two libraries",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), CASES.values(), ids=CASES)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_every_input_error_is_a_value_error():
    assert issubclass(errors.InputError, ValueError)
    assert len(CASES) >= 20
