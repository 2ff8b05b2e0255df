"""Floats of 16 bits as float32, inside compiled loops: half the memory to read, the same numbers.

Numba has no 16-bit floats on CPU, so arrays hold their bits, and the integer type says which they
are: uint16 for bfloat16 (the upper half of a float32), int16 for IEEE half precision.
"""

from __future__ import annotations

import platform
from typing import Any

import numba
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.extending import intrinsic


def widens_halves() -> bool:
    """Whether compiled code can widen int16: the processor must have an instruction for it."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return False  # compiled for another processor than this one
    return platform.machine() in ("arm64", "aarch64") or bool(get_host_cpu_features().get("f16c"))


@intrinsic
def widened(_: Any, number: Any) -> Any:
    """The float32 of a float32, or of the bits of a bfloat16 (uint16) or of a half (int16)."""
    if number not in (types.float32, types.uint16, types.int16):
        return None

    def generate(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        [value] = arguments
        if signature.args[0] == types.uint16:
            word = builder.zext(value, ir.IntType(32))
            return builder.bitcast(builder.shl(word, ir.IntType(32)(16)), ir.FloatType())
        if signature.args[0] == types.int16:
            return builder.fpext(builder.bitcast(value, ir.HalfType()), ir.FloatType())
        return value

    return types.float32(number), generate
