"""Runs the command line inside the test's process, and writes the files it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectheory.cli import main


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output; anything else there fails."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line of a refusal: exit code 2, standard output empty, no traceback."""
        assert self.code == 2, (self.out, self.err)
        assert self.out == ""
        assert self.err.endswith("\n")
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.strip()
        assert "Traceback" not in self.err
        return self.err.strip()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """``run(argument, ...)``: exit code, standard output and standard error of one command."""

    def command(*arguments: object) -> Finished:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Finished(code, *capsys.readouterr())

    return command


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """``saved(name, values)`` writes a ``.npy`` file, Fractions as float64; returns its path."""

    def save(name: str, values: Any) -> Path:
        array = np.asarray(values)
        if array.dtype == object:
            array = array.astype(np.float64)
        path = tmp_path / f"{name}.npy"
        np.save(path, array)
        return path

    return save


@pytest.fixture
def fractions() -> Callable[..., np.ndarray]:
    """``fractions([3, 2, 5])``: integers divided by their sum, exactly, row by row."""

    def of(weights: Any) -> np.ndarray:
        rows = np.asarray(weights, dtype=object)
        exact = np.frompyfunc(Fraction, 1, 1)(rows)
        law: np.ndarray = exact / exact.sum(axis=-1, keepdims=True)
        return law

    return of
