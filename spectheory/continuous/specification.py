"""Densities from text: ``normal(0, 1)``, or a JSON file for a mixture or a Gaussian vector.

{"weights": [0.3, 0.7], "components": ["normal(-1, 0.2)", "student(3, 1, 1)"]}
{"mean": [0, 0, 0], "covariance": [1, 1, 4]}
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from spectheory.continuous.density import Density
from spectheory.continuous.gaussian import Gaussian
from spectheory.continuous.mixture import Mixture
from spectheory.continuous.univariate import exponential, laplace, student, uniform
from spectheory.errors import InputError


class Family(NamedTuple):
    """A family that can be written as ``name(numbers)``.

    Attributes:
        make: the density from the numbers.
        numbers: what they are, in order.
        least: how many must be given.
    """

    make: Callable[..., Density]
    numbers: tuple[str, ...]
    least: int


_LEAST = 1e-150
"""Deviations between this and its inverse have variances that float64 holds in full."""


def _normal(mean: float, deviation: float) -> Gaussian:
    if not deviation > 0:
        raise InputError(f"`deviation` is {deviation:g}; expected a number > 0")
    if not _LEAST <= deviation <= 1 / _LEAST and math.isfinite(deviation):
        raise InputError(
            f"`deviation` is {deviation:g}; expected {_LEAST:g} to {1 / _LEAST:g}, whose squares "
            "float64 holds. A slip in the exponent?"
        )
    return Gaussian(mean, deviation**2)


FAMILIES = {
    "normal": Family(_normal, ("mean", "deviation"), 2),
    "laplace": Family(laplace, ("location", "scale"), 2),
    "exponential": Family(exponential, ("rate", "start"), 1),
    "uniform": Family(uniform, ("low", "high"), 2),
    "student": Family(student, ("freedom", "location", "scale"), 1),
}


def density(text: str) -> Density:
    """The density that a text stands for.

    Args:
        text: ``name(numbers)`` with a name of `FAMILIES`, or the path of a ``.json`` file.

    Raises:
        InputError: anything else; the message says what would do.

    >>> density("normal(1, 1.7)").variances.round(2)
    array([2.89])
    """
    if text.endswith(".json"):
        return _from_file(Path(text))
    found = re.fullmatch(r"\s*([a-z]+)\s*\(([^()]*)\)\s*", text)
    if not found or found[1] not in FAMILIES:
        raise InputError(f"{text!r} is no density; expected one of {usage()}, or a .json file")
    family = FAMILIES[found[1]]
    parts = found[2].split(",") if found[2].strip() else []
    numbers = [_number(text, part) for part in parts]
    if not family.least <= len(numbers) <= len(family.numbers):
        raise InputError(f"{text!r} has {len(numbers)} numbers; expected {_signature(found[1])}")
    try:
        return family.make(*numbers)
    except InputError as error:
        raise InputError(f"{text!r}: {error}") from error


def usage() -> str:
    """The families as they are written.

    >>> usage().split(", laplace")[0]
    'normal(mean, deviation)'
    """
    return ", ".join(map(_signature, FAMILIES))


def _signature(name: str) -> str:
    family = FAMILIES[name]
    needed = ", ".join(family.numbers[: family.least])
    optional = "".join(f"[, {number}]" for number in family.numbers[family.least :])
    return f"{name}({needed}{optional})"


def _number(text: str, part: str) -> float:
    if not part.strip():
        raise InputError(f"{text!r} has an empty place; expected numbers. One comma too many?")
    try:
        return float(part)
    except ValueError:
        raise InputError(f"{text!r}: {part.strip()!r} is no number") from None


def _from_file(path: Path) -> Density:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    keys = set(document) if isinstance(document, dict) else set()
    try:
        if keys == {"weights", "components"}:
            return _mixture(document)
        if {"mean"} <= keys <= {"mean", "covariance"}:
            return Gaussian(document["mean"], document.get("covariance", 1.0))
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    raise InputError(
        f'{path} holds neither {{"weights": [...], "components": [...]}} nor {{"mean": [...], '
        '"covariance": ...}'
    )


def _mixture(document: dict[str, Any]) -> Mixture:
    components = document["components"]
    if not isinstance(components, list) or not all(isinstance(c, str) for c in components):
        raise InputError(f"`components` is {components!r}; expected texts such as 'normal(0, 1)'")
    if any(c.endswith(".json") for c in components):
        raise InputError("`components` are to be written out, not files")
    return Mixture(document["weights"], [density(c) for c in components])
