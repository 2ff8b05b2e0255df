"""Closed form against enumeration where a draft is sharp, and where laws are in float32."""

import numpy as np
import pytest

from spectheory.audit.enumeration import enumerate_rule
from spectheory.drafting.scheme import scheme
from spectheory.verification.rule import rule

RULE, SCHEME = rule("recursive_without_replacement"), scheme("without_replacement")


@pytest.mark.parametrize("rest", [1e-3, 1e-9, 1e-15, 1e-20, 1e-200])
@pytest.mark.parametrize("top", [0, 2])
def test_rates_of_sharp_drafts(rest, top):
    target = np.roll([0.4, 0.3, 0.3, 0.0], top)
    draft = np.roll([1 - rest, 0.8 * rest, 0.1 * rest, 0.1 * rest], top)
    exact = enumerate_rule(RULE, SCHEME, target, draft, 2).ladder
    assert 0.75 < exact < 0.77
    assert float(RULE.rates(target, draft, 2, SCHEME.key).ladder) == pytest.approx(exact, abs=1e-12)


def test_rates_of_float32_laws_over_many_tokens():
    """The target is on half of the tokens: the first draft hits it with 1 / 2, and so does the
    second, whose draft law has one token less."""
    size = 200_000
    draft = np.full(size, 1 / size, np.float32)
    target = np.where(np.arange(size) < size // 2, np.float32(2 / size), np.float32(0))
    ladder = float(RULE.rates(target, draft, 2, SCHEME.key).ladder)
    assert ladder == pytest.approx(0.75, abs=1e-5)
