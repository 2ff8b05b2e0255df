"""Run every proof; exit with 1 if one fails."""

from __future__ import annotations

import sys
import time

from proofs import theorems

failed = 0
for name, theorem in theorems().items():
    start = time.perf_counter()
    try:
        theorem.verify()
        outcome = "proved"
    except AssertionError as error:
        failed += 1
        outcome = f"FAILED: {error}"
    print(f"{name:40} {outcome}  ({time.perf_counter() - start:.1f} s)", flush=True)
sys.exit(failed > 0)
