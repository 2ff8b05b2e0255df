"""``python -m figures [NAME ...]``: `spectheory reproduce` by another name."""

import sys

from spectheory.cli import main

raise SystemExit(main(["reproduce", *sys.argv[1:]]))
