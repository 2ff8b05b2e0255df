"""What a user meets first: the import, the README, the citations."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from spectheory import catalogue
from spectheory.drafting.scheme import schemes
from spectheory.literature.reported import HANDS, citation_keys, reported
from spectheory.verification.rule import rules

ROOT = Path(__file__).parents[1]
ISSUED_KEYS = {
    "rejection",
    "naive",
    "nss",
    "k_seq",
    "recursive",
    "recursive_without_replacement",
    "spechub",
    "greedy_optimal",
    "gumbel_list",
    "typical",
    "threshold",
}


def test_import_needs_numpy_and_scipy_only():
    program = (
        "import sys, numpy, scipy; before = set(sys.modules); import spectheory;"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "print(*(m for m in new if m not in sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"spectheory"}


def test_catalogue_holds_the_rules_and_schemes_that_others_name():
    assert rules().keys() >= ISSUED_KEYS
    assert schemes().keys() >= {
        "iid",
        "without_replacement",
        "distinct",
        "greedy",
        "heterogeneous",
    }


def test_readme_examples_give_what_they_say():
    """Numbers behind an expression, or in the line below it."""
    names, found = dict[str, object](), 0
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        lines = block.splitlines()
        for node in ast.parse(block).body:
            source = ast.get_source_segment(block, node) or ""
            if not isinstance(node, ast.Expr):
                exec(source, names)
                continue
            value = eval(source, names)
            notes = [line.partition("# ")[2] for line in [*lines, ""][node.end_lineno - 1 :][:2]]
            told = re.match(r"(?:acceptance )?\[?((?:[\d./]+(?:, )?)+)", notes[0] or notes[1])
            if told:
                numbers = [float(Fraction(number)) for number in told[1].rstrip(", ").split(", ")]
                here = np.ravel(getattr(value, "acceptance", value)).astype(float)
                assert np.abs(here - numbers).max() < 1e-12, source
                found += 1
    assert found == 5


def test_readme_counts_the_gallery_as_it_counts_itself():
    told = "100 values of worked examples .* agree .* 3 can be judged, which differ .* 18 are known"
    assert re.search(told, (ROOT / "README.md").read_text(), re.DOTALL)
    counted = "In all agrees with independent code: 100, differs: 3, second-hand, not judged: 18."
    assert counted in (ROOT / "figures" / "README.md").read_text()


def test_readme_catalogue_is_fresh():
    assert catalogue.main(["--check", str(ROOT / "README.md")]) == 0


def test_a_catalogue_without_an_end_is_not_written_over(tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{catalogue.BEGIN}\nkept\n")
    assert catalogue.main(["--write", str(readme)]) == 1
    assert readme.read_text().endswith("kept\n")
    assert "expected the lines" in capsys.readouterr().err


def test_every_citation_resolves():
    cited = {thing.reference for thing in [*rules().values(), *schemes().values()]}
    assert cited <= citation_keys()


def test_every_reported_number_has_its_place():
    for path in (ROOT / "spectheory" / "literature").glob("*.toml"):
        entries = reported(path.stem)
        assert entries
        assert all(entry.where and entry.hand in HANDS for entry in entries.values())
