"""The triangle of a few long vectors against LAPACK and against their inner products."""

from __future__ import annotations

import numpy as np
import pytest

from spectheory.kernels.triangle import triangle


@pytest.mark.parametrize(("count", "width"), [(1, 5), (4, 9), (30, 4000)])
def test_it_is_the_triangle_of_lapack_up_to_signs(count, width):
    points = np.random.default_rng(0).standard_normal((count, width))
    expected = np.linalg.qr(points.T, mode="r")
    np.testing.assert_allclose(
        triangle(points.copy()), expected * np.sign(np.diag(expected))[:, None], atol=1e-11
    )


def test_dependent_rows_keep_the_inner_products():
    points = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 5.0]])
    factor = triangle(points.copy())
    np.testing.assert_allclose(factor.T @ factor, points @ points.T, atol=1e-12)
