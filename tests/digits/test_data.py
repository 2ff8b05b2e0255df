"""Digits as tokens."""

import numpy as np
import pytest

from spectheory.digits.data import digits, to_images, to_tokens
from spectheory.errors import InputError, ShapeError


def test_parts_are_disjoint_and_make_the_whole():
    train, test, every = (digits(part) for part in ("train", "test", "all"))
    assert len(train.labels) + len(test.labels) == len(every.labels) == 1797
    joined = np.concatenate([train.tokens, test.tokens])
    assert (joined == every.tokens).all()
    assert every.tokens.min() == -1
    assert every.tokens.max() == 1
    assert set(np.unique(test.labels)) == set(range(10))


def test_tokens_are_patches_in_raster_order():
    image = np.zeros((8, 8))
    image[2:4, 6:8] = [[1, 2], [3, 4]]
    tokens = to_tokens(image)
    assert tokens[7].tolist() == [1, 2, 3, 4]
    assert np.count_nonzero(tokens) == 4
    assert (to_images(tokens) == image).all()


def test_bad_input():
    with pytest.raises(InputError, match="'valid'"):
        digits("valid")
    with pytest.raises(ShapeError, match=r"\(28, 28\)"):
        to_tokens(np.zeros((28, 28)))
    with pytest.raises(ShapeError, match=r"\(8, 8\)"):
        to_images(np.zeros((8, 8)))
