"""The exact audit: programs on a tape agree with the rules they write out, on Fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spectheory.audit import tape as module
from spectheory.audit.exact import audit_program, audit_rule
from spectheory.audit.tape import output_law
from spectheory.distributions import residual, total_variation
from spectheory.drafting.scheme import scheme
from spectheory.errors import DistributionError, InputError, TooLarge
from spectheory.verification.rule import rule, rules


def law(*weights):
    return np.array([Fraction(w, sum(weights)) for w in weights], dtype=object)


P, Q = law(1, 6, 2, 5, 2), law(5, 1, 4, 1, 3)


def rejection(tape):
    x = tape.draw(Q)
    return x if tape.accept(P[x] / Q[x]) else tape.draw(residual(P, Q))


def test_rejection_written_out_is_lossless_exactly():
    found = audit_program(rejection, P)
    assert found.bias == 0
    assert isinstance(found.bias, Fraction)
    assert not found.biased
    assert "Law-lossless" in str(found)


def test_a_program_is_the_rule_it_writes_out():
    """Two drafts tried in turn against shrinking residuals, which is the recursive rule."""

    def recursive(tape):
        left = P
        for _ in range(2):
            x = tape.draw(Q)
            if tape.accept(left[x] / Q[x]):
                return x
            left = residual(left, Q)
        return tape.draw(left)

    exact = audit_rule(rule("recursive"), scheme("iid"), P, Q, 2)
    assert list(audit_program(recursive, P).law) == list(exact.law)


def test_mistakes_have_the_bias_that_the_formula_says():
    def residual_from_target(tape):
        x = tape.draw(Q)
        return x if tape.accept(P[x] / Q[x]) else tape.draw(P)

    rejected = total_variation(P, Q)
    wanted = np.minimum(P, Q) + rejected * P
    found = audit_program(residual_from_target, P)
    assert list(found.law) == list(wanted)
    assert found.bias == total_variation(P, wanted)
    assert audit_program(lambda tape: tape.draw(Q), P).bias == rejected


def test_every_lossy_rule_shows_its_declared_bias():
    lossy = [one for one in rules().values() if not one.lossless and one.exact]
    assert lossy
    for one in lossy:
        for key in one.biased_under:
            if one.serves(key, 1) and not scheme(key).per_slot:
                found = audit_rule(one, scheme(key), P, Q, 1)
                declared = one.output_law(P[None], Q[None], 1, key)[0]
                assert found.bias == total_variation(P, declared)


def test_float64_allows_its_rounding_and_no_more():
    p, q = (np.asarray(x, dtype=float) for x in (P, Q))
    assert not audit_rule(rule("rejection"), scheme("iid"), p, q, 1).biased
    nudged = p + 1e-9 * np.array([1, -1, 0, 0, 0])
    assert audit_program(lambda tape: tape.draw(nudged / nudged.sum()), p).biased


def test_one_float_among_fractions_makes_the_audit_one_of_float64():
    """0.1 is no tenth: its Fraction is off by 2^-57 and more, within the rounding allowed."""
    target = np.array([Fraction(1, 10), Fraction(9, 10)])
    found = audit_program(lambda tape: 0 if tape.accept(0.1) else 1, target)
    assert not found.exact
    assert not found.biased
    assert isinstance(found.bias, float)
    assert "float64" in str(found)
    right = audit_program(lambda tape: 0 if tape.accept(Fraction(1, 10)) else 1, target)
    assert right.exact
    assert "Fractions" in str(right)
    off = audit_program(lambda tape: 0 if tape.accept(0.1 + 1e-9) else 1, target)
    assert off.biased
    assert off.bias == pytest.approx(1e-9, rel=1e-6)
    lied = audit_program(lambda tape: 0 if tape.accept(Fraction(0.1)) else 1, target)
    assert lied.exact
    assert lied.bias == Fraction(0.1) - Fraction(1, 10)
    sure = audit_program(lambda tape: 0, np.array([1, 0], dtype=object))
    assert sure.exact
    assert not sure.biased


def test_outputs_may_be_texts_of_several_tokens():
    found = output_law(lambda tape: (tape.draw(P), tape.draw(Q)))
    assert sum(found.values()) == 1
    assert found[1, 2] == P[1] * Q[2]


def test_a_program_of_varying_length_is_walked_to_the_end():
    def until_stop(tape):
        count = 0
        while count < 6 and tape.accept(Fraction(1, 3)):
            count += 1
        return count

    found = output_law(until_stop)
    assert found == {n: Fraction(2, 3 ** (n + 1)) for n in range(6)} | {6: Fraction(1, 3**6)}


def test_randomness_from_elsewhere_is_noticed():
    calls = iter(range(1_000_000))

    def shifty(tape):
        return tape.draw(P if next(calls) % 2 else law(0, 0, 0, 1, 1))

    with pytest.raises(InputError, match="must all come from the tape"):
        output_law(lambda tape: (shifty(tape), shifty(tape), shifty(tape)))


def test_too_many_paths_and_bad_laws_are_refused(monkeypatch):
    monkeypatch.setattr(module, "PATH_LIMIT", 100)
    with pytest.raises(TooLarge, match="100 paths"):
        output_law(lambda tape: tuple(tape.draw(P) for _ in range(5)))
    with pytest.raises(DistributionError):
        output_law(lambda tape: tape.draw(P / 2))
    with pytest.raises(InputError, match="probability"):
        output_law(lambda tape: tape.accept(-0.1))
    with pytest.raises(InputError, match="token 7"):
        audit_program(lambda tape: 7, P)
