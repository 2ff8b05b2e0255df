"""Run every proof, or those named on the command line; exit with 1 if one fails."""

from __future__ import annotations

import sys
import textwrap
import time

from proofs import theorems

COLUMNS = ((38, "theorem"), (50, "what was checked"), (34, "how"), (8, "seconds"))


def show(*cells: str) -> None:
    """Print a row of the table, cells wrapped."""
    wrapped = [textwrap.wrap(c, w) or [""] for c, (w, _) in zip(cells, COLUMNS, strict=True)]
    for line in range(max(map(len, wrapped))):
        parts = (w[line] if line < len(w) else "" for w in wrapped)
        padded = (part.ljust(w) for part, (w, _) in zip(parts, COLUMNS, strict=True))
        print("  ".join(padded).rstrip(), flush=True)


def main(names: list[str]) -> int:
    """Verify the theorems and print the table."""
    found = theorems()
    if unknown := set(names) - found.keys():
        print(f"no theorem {', '.join(sorted(unknown))}; there are {', '.join(found)}")
        return 2
    failed = 0
    show(*(title for _, title in COLUMNS))
    show(*("-" * width for width, _ in COLUMNS))
    for name in names or found:
        claim = (found[name].__doc__ or name).partition("\n")[0].rstrip(".")
        start = time.perf_counter()
        try:
            what, how = found[name].verify()
        except AssertionError as error:
            failed += 1
            what, how = f"FAILED: {error}", ""
        show(claim, what, how, f"{time.perf_counter() - start:.1f}")
    print(f"\n{len(names or found) - failed} proved, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
