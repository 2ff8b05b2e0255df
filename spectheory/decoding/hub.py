"""Fetches a model by its Hugging Face name, and fails within seconds where no hub answers."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

from spectheory.errors import MissingDependency, SourceUnavailable

PATIENCE = 3.0
"""Seconds that the hub has to answer."""

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""What a model folder needs; no second copy of the weights in other formats, and no code."""


def from_hub(name: str) -> Path:
    """The local folder of a hub model, downloading what is missing.

    Raises:
        SourceUnavailable: offline and not cached, or the hub refuses (no such model, gated).
        MissingDependency: ``huggingface_hub`` is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependency(
            f"`huggingface_hub` is not installed; loading `{name}` needs "
            "`pip install 'spectheory[models]'`"
        ) from error
    online = hub_reachable()
    try:
        folder = Path(snapshot_download(name, allow_patterns=WANTED, local_files_only=not online))
    except Exception as error:  # the hub's client raises many unrelated classes
        why = str(error).strip().partition("\n")[0]
        reason = (
            why if online else "no hub can be reached (or HF_HUB_OFFLINE is set), nothing cached"
        )
        raise SourceUnavailable(f"hub model `{name}`: {reason}") from error
    if not any(folder.glob("*.safetensors")):
        raise SourceUnavailable(f"hub model `{name}`: no safetensors weights in {folder}")
    return folder


def cached_commit(name: str) -> str | None:
    """The commit of a hub model's copy in the cache; None if there is none."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent.name if isinstance(found, str) else None


@cache
def hub_reachable() -> bool:
    """Whether the hub answers; asked once a process, and not at all if told to stay offline."""
    if any(
        os.environ.get(variable, "").lower() in ("1", "on", "true", "yes")
        for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    ):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    answers: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            with urllib.request.urlopen(request, timeout=PATIENCE):
                answers.append(True)
        except (OSError, ValueError):
            return

    # In a thread, because the timeout above does not cover looking up the host's name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return bool(answers)
