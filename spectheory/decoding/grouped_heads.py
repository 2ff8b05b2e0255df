"""Attention of grouped heads without copies of what they share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH = "TRANSFORMERS_SDPA_FORCE_GQA"
"""Makes transformers leave grouped keys and values to torch; read at each layer's call."""


@contextmanager
def uncopied_groups(device: str) -> Iterator[None]:
    """On CPU, let transformers attend under a mask without copying keys and values for each head.

    It copies them wherever there is a mask, as all passes over several tokens have, because on CUDA
    a mask and groups together would miss the fast kernels. On CPU the same kernel runs either way,
    with the same sums, and the copies grow with the text.

    Args:
        device: kind of device that the model runs on.

    >>> with uncopied_groups("cpu"):
    ...     os.environ[SWITCH]
    '1'
    """
    before = os.environ.get(SWITCH)
    if device != "cpu" or before is not None:
        yield
        return
    os.environ[SWITCH] = "1"
    try:
        yield
    finally:
        del os.environ[SWITCH]
