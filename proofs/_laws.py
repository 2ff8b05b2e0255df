"""Theorems about all laws of a given size: the domains that `cover` goes through."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from unittest.mock import patch

import numpy as np

from proofs._cover import Domain, Quantity, cover
from spectheory.drafting import scheme as drafting
from spectheory.drafting.scheme import DraftScheme
from spectheory.transport import subset_dual

Statement = Callable[..., None]
Conditions = Callable[..., Sequence[Quantity]]


def for_all_laws(
    size: int,
    statement: Statement,
    laws: int = 2,
    extra: Sequence[str] = (),
    within: Conditions | None = None,
    continuous: bool = False,
) -> int:
    """Prove a statement for all laws over ``size`` tokens, zeros and ties included.

    Args:
        size: number of tokens.
        statement: called with ``laws`` object arrays ``(size,)`` and the extra variables; asserts.
        laws: how many laws.
        extra: names of further real variables.
        within: same arguments; what it returns is assumed to be at least 0.
        continuous: see `cover`.

    Returns:
        How many regions the laws fall into.

    >>> def sums_to_one(p, q):
    ...     assert sum(p) == sum(q) == 1
    >>> for_all_laws(2, sums_to_one)
    1
    """
    names = [f"{'pqrstuvw'[i]}{x}" for i in range(laws) for x in range(size - 1)]
    domain = Domain([*names, *extra])

    def arguments(variables: list[Quantity]) -> list:
        cuts = range(0, laws * (size - 1), size - 1)
        return [
            *(simplex(variables[i : i + size - 1]) for i in cuts),
            *variables[laws * (size - 1) :],
        ]

    whole = arguments(domain.variables())
    domain.at_least_zero(*(x for law in whole[:laws] for x in law))
    domain.at_least_zero(*(within(*whole) if within else ()))
    return cover(domain, lambda variables: statement(*arguments(variables)), continuous)


def simplex(entries: Sequence[Quantity]) -> np.ndarray:
    """``(n + 1,)``: the law with these entries and what they leave of 1."""
    law = np.empty(len(entries) + 1, dtype=object)
    law[:-1] = entries
    law[-1] = 1 - sum(entries)
    return law


def by_ratio(p: np.ndarray, q: np.ndarray, *_: object) -> list[Quantity]:
    """Tokens named by ascending p / q: no loss for what treats all tokens alike."""
    return [p[i + 1] * q[i] - p[i] * q[i + 1] for i in range(len(p) - 1)]


def by_draft(_: np.ndarray, q: np.ndarray, *__: object) -> list[Quantity]:
    """Tokens named by descending q: no loss for what breaks ties in q by index only."""
    return [q[i] - q[i + 1] for i in range(len(q) - 1)]


def optimum(p: np.ndarray, q: np.ndarray, k: int, key: str) -> Quantity:
    """`optimal_value` without the checks of its input, whose comparisons only split regions."""
    with (
        patch.object(subset_dual, "check_pmf", lambda _, values: values),
        patch.object(drafting, "check_pmf", lambda _, values: values),
    ):
        return subset_dual.optimal_value(p, q, k, key)


def drafts_of(scheme: DraftScheme, draft: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The tuples of positive probability with their probabilities, as `DraftScheme.law`."""
    tuples, probability = scheme._law(draft, k)
    possible = np.array([mass > 0 for mass in probability], dtype=bool)
    return tuples[possible], probability[possible]


def subsets(size: int) -> Iterator[np.ndarray]:
    """Masks of all subsets of the vocabulary."""
    for members in itertools.product((False, True), repeat=size):
        yield np.array(members)


def all_drafts_within(tuples: np.ndarray, chance: np.ndarray, subset: np.ndarray) -> Quantity:
    """Q(H): probability that all drafts lie in H, by enumeration of the tuples."""
    inside = subset[tuples].all(axis=-1)
    return sum(chance[inside]) if inside.any() else sum(chance) * 0
