"""Theory, simulation and real-model measurement of speculative decoding.

Needs NumPy and SciPy only; torch, numba, cvxpy, transformers and matplotlib are imported
where they are used, not here.
"""

from spectheory.drafting.scheme import scheme, schemes
from spectheory.transport.optimal_acceptance import optimal_acceptance
from spectheory.transport.optimal_plan import optimal_plan
from spectheory.transport.subset_dual import optimal_value
from spectheory.verdict import Draw, Verdict
from spectheory.verification.rule import rule, rules

__version__ = "0.1.0"

__all__ = [
    "Draw",
    "Verdict",
    "optimal_acceptance",
    "optimal_plan",
    "optimal_value",
    "rule",
    "rules",
    "scheme",
    "schemes",
]
