import json
import subprocess
import sys

import pytest

from spectheory.decoding import hub, registry
from spectheory.decoding.pairs import pair
from spectheory.decoding.registry import STAMP, ProvenanceWarning, models, prepare, wheels_of
from spectheory.errors import (
    ChecksumMismatch,
    OptInNeeded,
    SourceUnavailable,
    UnknownName,
)

SHA = "a" * 64
SOURCE = {"wheels": ["fake-part{n}==1"], "parts": 2, "member": "*", "file": "f.gguf"}
SOURCE |= {"sha256": SHA, "size": 1, "dtype": "float16"}


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A registry of one model, a cache of its own, and stand-ins for download and conversion."""
    monkeypatch.setenv("SPECTHEORY_CACHE", str(tmp_path))
    calls = {"fetch": 0, "convert": 0, "fail": False}
    entry = {"title": "Fake", "licence": "none", "sources": [{"hub": "owner/fake"}, SOURCE]}
    tables = {"models": {"fake": entry}}
    monkeypatch.setattr(registry, "tables", lambda: tables)

    def fetch(wheels, folder):
        calls["fetch"] += 1
        (folder / "notices").mkdir(parents=True, exist_ok=True)
        (folder / "notices" / "LICENSE").write_text("terms")
        (folder / wheels.file).write_text("weights")
        return folder / wheels.file

    def convert(gguf, folder, dtype):
        calls["convert"] += 1
        (folder / "config.json").write_text("{}")
        if calls["fail"]:
            raise KeyboardInterrupt
        return {"transformers": "5"}

    monkeypatch.setattr(registry, "fetch", fetch)
    monkeypatch.setattr(registry, "convert_gguf", convert)
    return calls, entry, tmp_path


def test_converts_once_and_leaves_no_download(fake):
    calls, _, cache = fake
    folder = prepare("fake")
    assert folder == cache / "models" / "fake"
    stamp = json.loads((folder / STAMP).read_text())
    assert stamp["sha256"] == SHA
    assert stamp["packages"] == ["fake-part1==1", "fake-part2==1"]
    assert (folder / "notices" / "LICENSE").exists()
    assert not (cache / "downloads" / "fake").exists()
    assert prepare("fake") == folder
    assert calls["convert"] == 1


def test_keeps_the_download_on_request(fake):
    _, _, cache = fake
    prepare("fake", keep_download=True)
    prepare("fake")
    assert (cache / "downloads" / "fake" / "f.gguf").exists()


@pytest.mark.parametrize("killed_at", ["before", "midway"])
def test_a_kill_after_conversion_leaves_no_download_for_ever(fake, monkeypatch, killed_at):
    calls, _, cache = fake
    download = cache / "downloads" / "fake"

    def killed(converted, folder):
        if killed_at == "midway":
            (folder / "notices" / "LICENSE").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_drop_leftovers", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare("fake")
    assert (download / "f.gguf").exists()
    assert (prepare("fake") / STAMP).exists()
    assert not download.exists()
    assert calls["fetch"] == calls["convert"] == 1


def test_a_download_is_kept_while_the_model_is_in_doubt(fake):
    _, _, cache = fake
    folder = prepare("fake")
    (cache / "downloads" / "fake").mkdir()
    stamp = json.loads((folder / STAMP).read_text())
    (folder / STAMP).write_text(json.dumps(stamp | {"sha256": "b" * 64}))
    with pytest.raises(ChecksumMismatch):
        prepare("fake")
    assert (cache / "downloads" / "fake").exists()


def test_an_interrupted_conversion_leaves_no_model(fake):
    calls, _, cache = fake
    calls["fail"] = True
    with pytest.raises(KeyboardInterrupt):
        prepare("fake")
    assert not (cache / "models" / "fake").exists()
    assert (cache / "downloads" / "fake" / "f.gguf").exists()  # not to be fetched again
    calls["fail"] = False
    assert (prepare("fake") / STAMP).exists()


def test_scratch_of_a_killed_conversion_is_removed(fake):
    _, _, cache = fake
    scratch = cache / "models" / ".fake.partial-killed"
    scratch.mkdir(parents=True)
    (scratch / "config.json").write_text("{}")
    prepare("fake")
    assert not scratch.exists()


def test_a_folder_made_from_another_file_is_refused(fake):
    folder = prepare("fake")
    (folder / STAMP).write_text(json.dumps({"sha256": "b" * 64}))
    with pytest.raises(ChecksumMismatch, match="delete that folder"):
        prepare("fake")


def test_an_unofficial_copy_needs_a_word(fake, monkeypatch):
    _, entry, _ = fake
    entry["sources"][1] = SOURCE | {"opt_in": True, "warning": "unknown uploader"}
    with pytest.raises(OptInNeeded, match=r"owner/fake(.|\n)*allow_unofficial"):
        prepare("fake")
    with pytest.warns(ProvenanceWarning, match="Fake: unknown uploader"):
        prepare("fake", allow_unofficial=True)


def test_every_source_gives_its_reason(fake, monkeypatch):
    def fetch(wheels, folder):
        raise SourceUnavailable("pip could not")

    monkeypatch.setattr(registry, "fetch", fetch)
    with pytest.raises(SourceUnavailable, match=r"owner/fake(.|\n)*pip could not"):
        prepare("fake")


def test_the_hub_comes_first(fake, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "from_hub", lambda name: tmp_path / name)
    assert prepare("fake") == tmp_path / "owner/fake"
    assert prepare("somebody/else") == tmp_path / "somebody/else"


def test_the_origin_of_weights_is_what_would_be_loaded(fake, monkeypatch, tmp_path):
    import huggingface_hub

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    assert registry.origin("fake") is None
    folder = cache / "models--owner--fake"
    for commit in ("first", "second"):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)
        assert registry.origin("fake") == commit
    prepare("fake")
    assert registry.origin("fake") == SOURCE["sha256"]
    with pytest.raises(UnknownName, match="nothing"):
        registry.origin("nothing")


def test_a_folder_works_in_place_of_a_key(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert prepare(str(tmp_path)) == tmp_path
    with pytest.raises(UnknownName, match="smollm2"):
        prepare("no-such-model")
    with pytest.raises(SourceUnavailable, match="no hub can be reached"):
        prepare("no-such-owner/no-such-model")  # the tests run with HF_HUB_OFFLINE


def test_a_silent_hub_costs_no_more_than_its_patience(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert not hub.hub_reachable.__wrapped__()


def test_the_registry_is_complete():
    for key, entry in models().items():
        assert entry.licence, key
        assert "hub" in entry.sources[0], key
        for source in entry.sources[1:]:
            wheels = wheels_of(source)
            assert len(wheels.sha256) == 64
            assert all("==" in package and "{" not in package for package in wheels.packages)
            assert len(wheels.packages) == len(set(wheels.packages))
    assert len(wheels_of(models()["qwen2.5-coder-1.5b"].sources[1]).packages) == 22
    for key in registry.tables()["pairs"]:
        assert pair(key).drafts
    with pytest.raises(UnknownName, match="smollm2"):
        pair("nonesuch")


def test_importing_the_registry_imports_nothing_heavy():
    code = """
import sys, spectheory.decoding.registry, spectheory.decoding.pairs, spectheory.decoding.logged
print([m for m in ("torch", "transformers", "rich", "huggingface_hub") if m in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
