"""``python -m spectheory.cli``: the command line where the script is not on the path."""

from spectheory.cli import main

raise SystemExit(main())
