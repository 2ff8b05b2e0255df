import json
import re
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
psutil = pytest.importorskip("psutil")

from spectheory.decoding import memory  # noqa: E402
from spectheory.decoding.memory import CONTROL_GROUPS, available_bytes, weight_bytes  # noqa: E402
from spectheory.decoding.transformer import TransformerModel  # noqa: E402
from spectheory.errors import SourceUnavailable  # noqa: E402
from tests.decoding.tiny_drafter import tiny  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """A tiny model saved in bfloat16."""
    model = tiny()
    model.module.to(torch.bfloat16).save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def leave(monkeypatch, available):
    """A machine with so many bytes available, and no container around it."""
    monkeypatch.setattr(memory, "CONTROL_GROUPS", ())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))


def test_bytes_are_those_of_the_loaded_module(folder):
    for dtype in ("float32", "bfloat16"):
        module = TransformerModel.from_folder(folder, dtype=dtype).module
        loaded = sum(weights.nbytes for weights in module.parameters())
        assert weight_bytes(folder, getattr(torch, dtype).itemsize) == loaded


def test_quantised_weights_stay_as_they_are(tmp_path):
    from safetensors.torch import save_file

    tensors = {"scales": torch.ones(3, 5), "packed": torch.ones(7, dtype=torch.uint8)}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    assert weight_bytes(tmp_path, itemsize=2) == 2 * 15 + 7


def test_weights_in_two_forms_count_once(folder):
    needed = weight_bytes(folder, 4)
    (folder / "consolidated.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert weight_bytes(folder, 4) == needed
    (folder / "model.safetensors").rename(folder / "part-1.safetensors")
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weight_bytes(folder, 4) == needed


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\n", b"\x04" + bytes(7) + b"{no}"]
)
def test_files_that_hold_no_weights_are_not_taken_for_memory(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(SourceUnavailable, match=re.escape(str(folder))):
        TransformerModel.from_folder(folder, device="cpu")


def test_weights_without_room_are_refused_before_they_are_read(folder, monkeypatch):
    needed = weight_bytes(folder, 4)
    leave(monkeypatch, needed)
    TransformerModel.from_folder(folder)
    leave(monkeypatch, needed - 1)
    with pytest.raises(MemoryError, match=rf"{re.escape(str(folder))} in float32: 0\.0 GB needed"):
        TransformerModel.from_folder(folder)
    TransformerModel.from_folder(folder, dtype="bfloat16")


def test_the_copy_in_16_bits_without_room_is_refused(monkeypatch):
    model = tiny()
    before = [type(layer) for layer in model.module.modules()]
    leave(monkeypatch, 1000)
    with pytest.raises(MemoryError, match=r"in 16 bits: .*--library-kernels"):
        model.speed_up()
    assert [type(layer) for layer in model.module.modules()] == before
    assert not model.small_passes


@pytest.mark.parametrize("version", CONTROL_GROUPS, ids=["second", "first"])
@pytest.mark.parametrize(
    ("limit", "expected"), [("7000", 7000 - 5000 + 1500), ("99000", 8000), ("max", 8000)]
)
def test_a_limit_of_a_container_counts(version, limit, expected, tmp_path, monkeypatch):
    _, most, used, dropped = version
    (tmp_path / most).write_text(f"{limit}\n")
    (tmp_path / used).write_text("5000\n")
    (tmp_path / "memory.stat").write_text(f"anon 3500\nfile 1500\n{dropped} 1500\n")
    leave(monkeypatch, 8000)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", [(tmp_path, most, used, dropped)])
    assert available_bytes() == expected
    (tmp_path / "memory.stat").unlink()
    assert available_bytes() == (2000 if limit == "7000" else 8000)
