"""Finished work on disk, so that a killed run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class Journal:
    """Values by key, one JSON line each, only ever appended to.

    A run that was killed leaves at most one broken last line, which is passed over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: dict[str, Any] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._done[entry["key"]] = entry["value"]
            except (ValueError, KeyError, TypeError):
                continue
        self._torn = bool(text) and not text.endswith("\n")

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def items(self) -> Iterable[tuple[str, Any]]:
        """All keys with their values, in the order in which they were finished."""
        return self._done.items()

    def get_or(self, key: str, make: Callable[[], Any], **about: Any) -> Any:
        """The value under a key, made and written if it is not there.

        Args:
            key: names the value and all that it depends on.
            make: gives a value that JSON can hold.
            about: written beside it, for readers of the file.
        """
        if key not in self._done:
            value = make()
            line = json.dumps({"key": key, **about, "value": value})
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("\n" * self._torn + line + "\n")
            self._torn = False
            self._done[key] = value
        return self._done[key]
