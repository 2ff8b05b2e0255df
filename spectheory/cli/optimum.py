"""Print the largest acceptance that any lossless rule can reach for a target and a draft."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.cli.arguments import add_json, add_pair, add_threads
from spectheory.cli.output import note, print_json

if TYPE_CHECKING:
    import numpy as np

    from spectheory.cli.inputs import Pair
    from spectheory.drafting.scheme import DraftScheme
    from spectheory.transport.acceptance import Acceptance


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_pair(parser)
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="FILE.npz",
        help="also write the arrays accepted_mass and residual of a plan, which is optimal, or for "
        "drafts without a closed form as near as is said",
    )
    add_threads(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Print the optimum with its certificate; write a plan if asked."""
    from spectheory.cli.inputs import load_pair

    pair = load_pair(options)
    start = time.perf_counter()
    found = certified_optima(pair.target, pair.draft, pair.k, pair.scheme, options.threads)
    seconds = time.perf_counter() - start
    document = summary(pair, found) | {"seconds": round(seconds, 6)}
    if options.plan:
        values = write_plan(options.plan, pair)
        # A mixture of orders stops when its time is up, near the optimum or not.
        document["plan_gap"] = max(
            float(optimum.value) - value for optimum, value in zip(found, values, strict=True)
        )
    if options.json:
        print_json(document)
        return
    where = f", mean of {len(found)} positions" if len(found) > 1 else ""
    status = "certified" if document["certified"] else "not certified"
    print(
        f"{document['value']:.9f}  optimum, scheme {pair.scheme.key}, k = {pair.k}{where}; "
        f"{status}, gap {document['gap']:.1e}, {seconds:.3g} s"
    )
    if options.plan:
        note(f"plan in {options.plan}, {document['plan_gap']:.1e} below the optimum")


def summary(pair: Pair, found: list[Acceptance]) -> dict[str, Any]:
    """The JSON document: numbers of the position, or means over positions and lists."""
    n = len(found)
    document: dict[str, Any] = {
        name: sum(float(getattr(a, name)) for a in found) / n
        for name in ("value", "primal", "dual")
    }
    sizes = [int(a.witness.sum()) for a in found]
    document |= {
        "gap": max(float(a.gap) for a in found),
        "certified": all(bool(a.certified) for a in found),
        "witness_size": sizes[0] if n == 1 else sizes,
        "scheme": pair.scheme.key,
        "k": pair.k,
        "positions": n,
    }
    if n > 1:
        document["values"] = [float(a.value) for a in found]
    return document


def write_plan(path: Path, pair: Pair) -> list[float]:
    """A plan's accepted mass and residual, ``(V,)`` for one position, else ``(n, V)``.

    Returns:
        What it accepts at each position.
    """
    import numpy as np

    from spectheory.errors import InputError
    from spectheory.transport.optimal_plan import optimal_plan

    plans = [
        optimal_plan(p, q, pair.k, pair.scheme.key)
        for p, q in zip(pair.target, pair.draft, strict=True)
    ]
    arrays = {
        name: np.stack([np.asarray(getattr(plan, name)) for plan in plans])
        for name in ("accepted_mass", "residual")
    }
    if pair.single:
        arrays = {name: array[0] for name, array in arrays.items()}
    try:
        with open(path, "wb") as file:
            np.savez(file, accepted_mass=arrays["accepted_mass"], residual=arrays["residual"])
    except OSError as error:
        raise InputError(f"`--plan` {path}: {error.strerror or error}") from error
    return [float(plan.value) for plan in plans]


def certified_optima(
    target: np.ndarray, draft: np.ndarray, k: int, scheme: DraftScheme, threads: int = 1
) -> list[Acceptance]:
    """The optimum with its certificate, position by position."""
    from spectheory.audit.rates import map_threads
    from spectheory.transport.optimal_acceptance import optimal_acceptance

    def one(i: int) -> Acceptance:
        return optimal_acceptance(target[i], draft[i], k, scheme.key)

    # The first runs alone: it compiles what there is to compile.
    return [one(0), *map_threads(one, range(1, len(target)), threads)]
