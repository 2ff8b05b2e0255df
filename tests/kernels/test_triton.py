"""Triton kernels: in the interpreter on any machine, compiled for two GPUs, and run on one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
CASES = Path(__file__).with_name("triton_cases.py")
ROOT = CASES.parents[2]


def run(command, **environment):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cases(**environment):
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return run(["-m", "pytest", str(CASES), *options], **environment)


def test_kernels_in_the_interpreter():
    assert "20 passed" in cases(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.gpu
def test_kernels_on_a_gpu():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert "20 passed" in cases()


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import triton.language as tl
from spectheory.kernels import triton_chain, triton_rows, triton_score

POINTERS = {"logits": "*bf16", "target": "*bf16", "draft": "*fp32", "drafts": "*i64",
            "lengths": "*i64", "rows": "*i64", "kept": "*i64", "tokens": "*i64"}
NUMBERS = ("size", "tiles", "most", "width", "shift", "base", "bins")
FIXED = {"TILE": 1024, "TILES": 128, "INDEPENDENT": True}
for capability in (80, 90):
    for precise in (tl.float32, tl.float64):
        for scores in (False, True):
            for kernel in (triton_rows.tile_sums, triton_rows.merge, triton_rows.residual_sums,
                           triton_rows.residual_draw, triton_chain.walk, triton_score.ratio_sums):
                fixed = {**FIXED, "DTYPE": precise, "SCORES": scores}
                fixed = {n: fixed[n] for n in kernel.arg_names if n in fixed}
                signature = {}
                for name in kernel.arg_names:
                    kind = "i32" if name in NUMBERS else POINTERS.get(name, "*fp64")
                    kind = "*i64" if kernel is triton_score.ratio_sums and name == "sums" else kind
                    kind = "fp64" if name == "unit" else kind
                    kind = "i64" if name == "base" else kind
                    signature[name] = "constexpr" if name in fixed else kind
                places = {(kernel.arg_names.index(n),): v for n, v in fixed.items()}
                source = ASTSource(kernel, signature, places)
                built = triton.compile(source, target=GPUTarget("cuda", capability, 32))
                assert built.asm["cubin"]
                print("built", capability, kernel.__name__)
"""


@pytest.mark.slow
def test_kernels_compile_without_a_gpu():
    assert run(["-c", COMPILE]).count("built") == 2 * 2 * 2 * 6
