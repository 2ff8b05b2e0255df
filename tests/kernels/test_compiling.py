"""The cache of compiled kernels follows their sources, and numba's own setting is left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numba

from spectheory.kernels import compiling


def test_cache_folder_changes_with_any_source(tmp_path, monkeypatch):
    sources = Path(compiling.__file__).parent
    for source in sources.glob("*.py"):
        shutil.copy(source, tmp_path)
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    before = compiling.cache_folder()
    assert before == compiling.cache_folder()
    with (tmp_path / "race.py").open("a") as file:
        file.write("# changed\n")
    assert compiling.cache_folder() != before


def test_a_changed_callee_in_another_file_is_compiled_anew(tmp_path):
    """With numba's plain cache the second run would print 1 again."""
    package = tmp_path / "kernels"
    package.mkdir()
    shutil.copy(compiling.__file__, package / "compiling.py")
    (package / "__init__.py").write_text("")
    (package / "caller.py").write_text(
        "from kernels.callee import value\nfrom kernels.compiling import compiled\n"
        "@compiled()\ndef run():\n    return value()\n"
    )
    for number in (1, 2):
        (package / "callee.py").write_text(
            "from kernels.compiling import compiled\n"
            f"@compiled()\ndef value():\n    return {number}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", "from kernels.caller import run; print(run())"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == number


def test_setting_of_numba_is_restored():
    assert "numba-" not in str(numba.config.CACHE_DIR)
