"""Where downloads and converted models lie, and how a folder there is filled by one process."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "SPECTHEORY_CACHE"


def cache_dir() -> Path:
    """The folder that holds downloads and models; nothing is created.

    ``SPECTHEORY_CACHE`` if set, else ``spectheory`` in the platform's user cache:
    ``XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches`` on macOS, ``LOCALAPPDATA`` on Windows.

    >>> cache_dir().name == "spectheory" or VARIABLE in os.environ
    True
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spectheory"
    fallback = Path.home() / ".cache"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or fallback) / "spectheory"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; other processes wait.

    The lock belongs to an open file beside the folder, so the operating system releases it however
    the process ends. Windows has no such lock in the standard library's portable part: there, two
    processes that fetch the same model at once may both download it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{folder.name}.lock", "w") as handle:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A scratch file that takes the name ``file`` only when the block ends without error.

    So a reader, and a run that was killed, find the old content or the new one, never a part.

    >>> with tempfile.TemporaryDirectory() as root:
    ...     file = Path(root) / "card.json"
    ...     with written_whole(file) as scratch:
    ...         _ = scratch.write_text("{}")
    ...         before = file.exists()
    ...     before, file.read_text()
    (False, '{}')
    """
    scratch = file.with_name(f".{file.stem}.partial{file.suffix}")
    try:
        yield scratch
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    scratch.replace(file)


@contextmanager
def appearing_whole(folder: Path) -> Iterator[Path]:
    """A scratch folder that takes the name ``folder`` only when the block ends without error.

    Scratch folders that a killed process left behind are removed first, so call it under `locked`.

    >>> with tempfile.TemporaryDirectory() as root:
    ...     with appearing_whole(Path(root) / "model") as scratch:
    ...         _ = (scratch / "weights").write_text("...")
    ...         before = (Path(root) / "model").exists()
    ...     before, (Path(root) / "model" / "weights").exists()
    (False, True)
    """
    prefix = f".{folder.name}.partial-"
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
