"""Statements for all values of their variables: a program is run once a region until none is left.

A program is ordinary Python over `Quantity` variables: the library's own code, then assertions. It
runs at one rational point; each comparison is decided there and recorded as a polynomial condition,
and the arithmetic is carried along as rational functions of the variables. So one run settles all
points that take the same branches. For every branch that was not taken, z3 either proves that no
point takes it or gives one, which is run next. When no branch is left, every point of the domain
has been settled; an assertion that fails anywhere on it is met, with the point as counterexample.

Two comparisons need no branch: of expressions that are identical as rational functions, and of
constants. So an identity asserted with ``==`` is proved as an identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import sympy
import z3

EFFORT = 50_000_000
"""How much z3 may think about one branch before the proof counts as failed, in its own units (some
ten seconds): the outcome does not depend on how busy the machine is."""


class Condition(NamedTuple):
    """``polynomial > 0`` or ``polynomial == 0``, and whether the run found it to hold."""

    polynomial: Any
    kind: str
    holds: bool


@dataclass
class Domain:
    """Variables, what is assumed about them, and the run in progress.

    Attributes:
        names: of the variables.
    """

    names: Sequence[str]
    assumptions: list[Condition] = field(default_factory=list)
    path: list[Condition] = field(default_factory=list)
    known: dict[tuple[Any, str], bool] = field(default_factory=dict)
    factors: dict[Any, list[Any] | None] = field(default_factory=dict)
    formulas: dict[tuple[Condition, bool], z3.BoolRef] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.field = sympy.QQ.frac_field(*sympy.symbols(self.names))
        self.symbols = [z3.Real(name) for name in self.names]
        self.point = [Fraction(0)] * len(self.names)

    def variables(self) -> list[Quantity]:
        """The variables at the current point."""
        pairs = zip(self.field.gens, self.point, strict=True)
        return [Quantity(self, expression, value) for expression, value in pairs]

    def decide(self, quantity: Quantity, kind: str) -> bool:
        """Whether ``quantity > 0`` (or ``== 0``) here, recorded as a branch of the run."""
        numerator, denominator = quantity.expression.numer, quantity.expression.denom
        holds = quantity.value > 0 if kind == ">" else quantity.value == 0
        if kind == "==" or self._is_positive(denominator):
            polynomial = numerator
        else:
            polynomial = numerator * denominator
        if polynomial.is_ground:
            return holds
        polynomial = _primitive(polynomial)
        if (polynomial, kind) not in self.known:
            self.known[polynomial, kind] = holds
            if holds:  # what follows at once
                self.known[polynomial, "=="] = kind == "=="
                self.known[-polynomial, "=="] = kind == "=="
                self.known[-polynomial, ">"] = False
                if kind == "==":
                    self.known[polynomial, ">"] = False
            self.path.append(Condition(polynomial, kind, holds))
        return holds

    def _is_positive(self, denominator: Any) -> bool:
        """Whether every factor is known to be positive; then it can be left out."""
        if denominator not in self.factors:
            constant, factors = denominator.factor_list()
            self.factors[denominator] = (
                [_primitive(f) for f, _ in factors] if constant > 0 else None
            )
        factors = self.factors[denominator]
        return factors is not None and all(self.known.get((f, ">")) for f in factors)

    def start(self, point: Sequence[Fraction]) -> None:
        """Begin a run at a point."""
        self.point, self.path, self.known = list(point), [], {}
        for polynomial, kind, holds in self.assumptions:
            if not polynomial.is_ground:
                self.known[_primitive(polynomial), kind] = holds

    def assume(self, *quantities: Quantity) -> None:
        """Restrict the domain to where each quantity is positive; called before any run."""
        for quantity in quantities:
            expression = quantity.expression
            self.assumptions.append(Condition(expression.numer * expression.denom, ">", True))

    def at_least_zero(self, *quantities: Quantity) -> None:
        """Restrict the domain to where no quantity is negative."""
        for quantity in quantities:
            expression = -quantity.expression
            self.assumptions.append(Condition(expression.numer * expression.denom, ">", False))

    def formula(self, condition: Condition, strict: bool = False) -> z3.BoolRef:
        """The condition for z3; ``strict`` narrows a false ``> 0`` to ``< 0``."""
        if (condition, strict) not in self.formulas:  # the same ones come back in many regions
            self.formulas[condition, strict] = self._translated(condition, strict)
        return self.formulas[condition, strict]

    def _translated(self, condition: Condition, strict: bool) -> z3.BoolRef:
        terms = []
        for powers, factor in condition.polynomial.terms():
            term = z3.RealVal(str(factor))
            for symbol, power in zip(self.symbols, powers, strict=True):
                for _ in range(power):
                    term = term * symbol
            terms.append(term)
        polynomial = z3.Sum(terms)
        if condition.kind == "==":
            return polynomial == 0 if condition.holds else polynomial != 0
        if condition.holds:
            return polynomial > 0
        return polynomial < 0 if strict else polynomial <= 0


def _by_entry(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Leave arrays to NumPy, which applies the operation to each entry."""

    def apply(self: Quantity, other: object) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else operation(self, other)

    return apply


@dataclass(frozen=True, eq=False)
class Quantity:
    """A rational function of the variables, with its value at the current point."""

    domain: Domain
    expression: Any
    value: Fraction

    def _with(self, other: object) -> Quantity:
        if isinstance(other, Quantity):
            return other
        exact = Fraction(other)  # type: ignore[arg-type]
        number = sympy.QQ(exact.numerator, exact.denominator)
        return Quantity(self.domain, self.domain.field(number), exact)

    @_by_entry
    def __add__(self, other: object) -> Quantity:
        other = self._with(other)
        return Quantity(self.domain, self.expression + other.expression, self.value + other.value)

    def __neg__(self) -> Quantity:
        return Quantity(self.domain, -self.expression, -self.value)

    @_by_entry
    def __sub__(self, other: object) -> Quantity:
        return self + -self._with(other)

    @_by_entry
    def __rsub__(self, other: object) -> Quantity:
        return -self + other

    @_by_entry
    def __mul__(self, other: object) -> Quantity:
        other = self._with(other)
        return Quantity(self.domain, self.expression * other.expression, self.value * other.value)

    @_by_entry
    def __truediv__(self, other: object) -> Quantity:
        other = self._with(other)
        if other == 0:
            raise ZeroDivisionError(f"{self.expression} / 0")
        return Quantity(self.domain, self.expression / other.expression, self.value / other.value)

    @_by_entry
    def __rtruediv__(self, other: object) -> Quantity:
        return self._with(other) / self

    def __pow__(self, power: int) -> Quantity:
        return Quantity(self.domain, self.expression**power, self.value**power)

    __radd__, __rmul__ = __add__, __mul__

    def __gt__(self, other: object) -> bool:
        return self.domain.decide(self - other, ">")

    def __lt__(self, other: object) -> bool:
        return self.domain.decide(other - self, ">")

    def __ge__(self, other: object) -> bool:
        return not self < other

    def __le__(self, other: object) -> bool:
        return not self > other

    def __eq__(self, other: object) -> bool:
        return self.domain.decide(self - other, "==")

    def __hash__(self) -> int:
        return hash(self.expression)

    def __repr__(self) -> str:
        return str(self.expression)


class Counterexample(AssertionError):
    """A point of the domain where the program fails; the message gives it."""


def cover(
    domain: Domain, program: Callable[[list[Quantity]], None], continuous: bool = False
) -> int:
    """Run the program on every region of the domain; how many regions there were.

    Args:
        domain: variables and assumptions.
        program: called with the variables; raises `AssertionError` where the statement fails.
        continuous: the statement compares continuous functions of the variables by ==, <= or >=:
            it then holds on the boundary of a region where it holds inside, and regions without
            an inside (ties, faces) are not run.

    Raises:
        Counterexample: the statement fails, or a division by zero is met, at the point given.
        AssertionError: z3 could not settle a branch.
    """
    regions = 0
    pending = [([], None)]  # conditions to force, and the branch to flip after them
    while pending:
        prefix, flipped = pending.pop()
        wanted = [*prefix, *([flipped] if flipped else [])]
        point = _point(domain, wanted, continuous)
        if point is None:
            assert flipped, "no point satisfies the assumptions"
            continue
        domain.start(point)
        try:
            program(domain.variables())
        except (AssertionError, ArithmeticError) as error:
            where = ", ".join(f"{n} = {x}" for n, x in zip(domain.names, point, strict=True))
            raise Counterexample(f"{error} (at {where})") from error
        regions += 1
        path = domain.path
        assert path[: len(wanted)] == wanted, "the run left the region it was sent to"
        pending += [
            (path[:i], path[i]._replace(holds=not path[i].holds))
            for i in range(len(wanted), len(path))
        ]
    return regions


def _primitive(polynomial: Any) -> Any:
    """The polynomial over the size of its leading coefficient, so that multiples are one."""
    return polynomial.quo_ground(abs(polynomial.LC))


def _point(domain: Domain, conditions: list[Condition], continuous: bool) -> list[Fraction] | None:
    """A rational point that satisfies the assumptions and the conditions; None if there is none."""
    everything = [*domain.assumptions, *conditions]
    if continuous and any(c.kind == "==" and c.holds for c in conditions):
        return None
    model = None if continuous else _model(domain.formula(c) for c in everything)
    if model is None and not continuous:
        return None
    # Away from the boundary, where there is room: those points are rational, and typical.
    inner = _model(domain.formula(c, strict=True) for c in everything)
    for precision in (10, 20, 40, 80, 160) if inner is not None else ():
        point = [_rational(inner.eval(s, model_completion=True), precision) for s in domain.symbols]
        if _satisfies(domain, everything, point):
            return point
    if model is None:
        assert inner is None, f"no rational point found inside: {conditions}"
        return None
    # On a boundary: fix variables at short rationals, so that the last ones follow from equations.
    for symbols in (domain.symbols, domain.symbols[::-1]):
        formulas = [domain.formula(c) for c in everything]
        for symbol in symbols:
            at = model.eval(symbol, model_completion=True)
            for short in {_rational(at, digits).limit_denominator(9 * digits) for digits in (1, 4)}:
                found = _model([*formulas, symbol == z3.Q(short.numerator, short.denominator)])
                if found is not None:
                    formulas.append(symbol == z3.Q(short.numerator, short.denominator))
                    model = found
                    break
        point = [_rational(model.eval(s, model_completion=True), 80) for s in domain.symbols]
        if _satisfies(domain, everything, point):
            return point
    raise AssertionError(f"no rational point found on a boundary: {conditions}")


def _satisfies(domain: Domain, conditions: list[Condition], point: list[Fraction]) -> bool:
    rationals = [sympy.QQ(x.numerator, x.denominator) for x in point]
    for polynomial, kind, holds in conditions:
        value = polynomial.evaluate(list(zip(polynomial.ring.gens, rationals, strict=True)))
        if (value > 0 if kind == ">" else value == 0) is not holds:
            return False
    return True


def _model(formulas: Iterable[z3.BoolRef]) -> z3.ModelRef | None:
    solver = z3.SolverFor("QF_NRA")
    solver.set("rlimit", EFFORT)
    solver.add(*formulas)
    answer = solver.check()
    assert answer != z3.unknown, f"z3 could not settle a branch: {solver.reason_unknown()}"
    return solver.model() if answer == z3.sat else None


def _rational(value: Any, precision: int) -> Fraction:
    if z3.is_algebraic_value(value):
        value = value.approx(precision)
    return Fraction(value.numerator_as_long(), value.denominator_as_long())
