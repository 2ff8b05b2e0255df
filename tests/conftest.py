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

from hypothesis import settings

# The same examples on every run, and no deadline: a slow machine is not a failure.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")
