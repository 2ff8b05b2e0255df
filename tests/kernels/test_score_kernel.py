"""The pieces of the score kernel's set-up: powers, and the gathering of light tokens."""

from fractions import Fraction

import numpy as np
import pytest

from spectheory.kernels.iid_value import missed
from spectheory.kernels.score_kernel import ATOM, area, chord, merge


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 100])
def test_powers_keep_their_digits(k):
    points = (0.0, 1e-300, 1e-9, 0.3, 0.5, 0.5 + 2.0**-50, 1 - 2.0**-53, 1.0)
    for a in points:
        for b in points:
            if a < b:
                x, y = Fraction(a), Fraction(b)
                exact = float((y**k - x**k) / (y - x))
                assert chord(a, b, k) == pytest.approx(exact, rel=4e-15 * k, abs=1e-300)
        assert chord(a, a, k) == pytest.approx(k * a ** (k - 1), rel=1e-13)
        assert missed(a, k) == pytest.approx(float(1 - (1 - Fraction(a)) ** k), rel=1e-13)


def test_area_starts_at_the_floor():
    assert area(0.2, 0.6, 3, 0.5) == pytest.approx(0.6**3 - 0.5**3)
    assert area(0.2, 0.4, 3, 0.5) == 0


def gather(mass, level):
    group = np.full(len(mass), -1, np.int32)
    group_mass, group_level = np.zeros(len(mass)), np.zeros(len(mass))
    count = merge(np.array(mass), np.array(level), group, group_mass, group_level)
    return group.tolist(), group_mass[:count].tolist(), group_level[:count].tolist()


def test_equal_levels_share_a_group():
    assert gather([0.25, 0.25, 0.5], [0.5, 0.5, 2.0]) == ([0, 0, 1], [0.5, 0.5], [0.5, 2.0])


def test_light_tokens_join_the_group_below():
    light = ATOM / 4
    group, _, level = gather([0.5, light, light, 0.5, light], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert group == [0, 0, 0, 1, 1]
    assert level == [0.1, 0.4]


def test_a_run_of_light_tokens_is_a_group_at_its_lowest_level():
    half = ATOM / 2
    group, mass, level = gather([0.5, half, half, half, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert group == [0, 1, 1, 1, 2]
    assert level == [0.1, 0.2, 0.5]
    assert mass[1] == 1.5 * ATOM


def test_light_tokens_at_the_bottom_accept_nothing():
    group, mass, level = gather([ATOM / 8, 1.0], [0.3, 0.4])
    assert (group, mass, level) == ([0, 1], [ATOM / 8, 1.0], [0.0, 0.4])
    assert gather([0.0, 1.0], [0.3, 0.4]) == ([0, 0], [1.0], [0.4])
