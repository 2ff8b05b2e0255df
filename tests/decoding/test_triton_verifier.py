"""Decoding with Triton kernels: in Triton's interpreter on any machine, and on a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spectheory.decoding.executors import verifier_for
from spectheory.decoding.verifier import Block
from spectheory.errors import InputError, MissingDependency

torch = pytest.importorskip("torch")
CASES = Path(__file__).with_name("triton_decoding_cases.py")


def cases(**environment):
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(CASES), *options],
        cwd=CASES.parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_decoding_in_the_interpreter():
    pytest.importorskip("triton")
    assert "22 passed" in cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.gpu
def test_decoding_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert "22 passed" in cases()


def test_a_verifier_has_no_kernels():
    with pytest.raises(InputError, match="'triton', which `block` does not have"):
        verifier_for(Block(), None, "triton")


def test_kernels_are_refused_where_the_target_runs_on_cpu():
    triton_chain = pytest.importorskip("spectheory.kernels.triton_chain")
    if type(triton_chain.walk).__name__ != "JITFunction":
        pytest.skip("this process interprets kernels")

    class OnCpu:
        class module:  # noqa: N801 (an attribute of models)
            device = torch.device("cpu")

    with pytest.raises(InputError, match="run on CUDA; the target runs on cpu"):
        verifier_for("rejection", OnCpu(), "triton")


def test_triton_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(MissingDependency, match=r"spectheory\[kernels\]"):
        verifier_for("rejection", None, "triton")
