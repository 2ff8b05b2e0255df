"""Settings every test relies on; fixtures live beside the tests that use them."""

import os

# Before the first `import numpy`: one thread a process, because pytest-xdist already
# fills the cores and because sums must not depend on the number of threads.
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    NUMBA_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
)

import pytest
from hypothesis import settings

# The same examples on every run, and no deadline: a slow machine is not a failure.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def smollm2():
    """The small real model, from the cache or downloaded into it."""
    from spectheory.decoding.registry import load
    from spectheory.errors import MissingDependency, SourceUnavailable

    try:
        return load("smollm2")
    except (SourceUnavailable, MissingDependency) as error:
        pytest.skip(f"SmolLM2 cannot be had here: {error}")
