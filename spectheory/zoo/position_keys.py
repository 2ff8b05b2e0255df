"""Block verification whose random numbers are keyed by position, and so are read twice.

Block verification reads the accept uniforms of all rows. Where it keeps a short prefix, the
uniforms behind it are known to be high, and the next step reads them again. Verified token by
token the same keys do no harm: rows behind the first rejection decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.zoo.keys import Keys
from spectheory.zoo.loop import StreamEntry

SOURCES = (
    "https://github.com/vllm-project/vllm/pull/46781",
    "https://github.com/vllm-project/vllm/blob/main/vllm/v1/worker/gpu/spec_decode/"
    "rejection_sampler_utils.py",
)


@dataclass(frozen=True)
class PositionKeyedBlock(StreamEntry):
    """The accept uniforms alone are keyed by position; as read in source, not run on the engine."""

    key = "position_keyed_block"
    mechanism = "block verification reads accept uniforms keyed by position again in the next step"
    sources = SOURCES
    block = True

    def keys(self, rng: np.random.Generator) -> Keys:
        return Keys(rng, keyed_uniforms=True)


@dataclass(frozen=True)
class PositionKeyedDrafts(StreamEntry):
    """The drafts' noise is keyed so too; as read in source, not run on the engine."""

    key = "position_keyed_block_and_drafts"
    mechanism = "block verification reads uniforms and draft noise keyed by position again"
    sources = SOURCES
    block = True

    def keys(self, rng: np.random.Generator) -> Keys:
        return Keys(rng, keyed_uniforms=True, keyed_noise=True)
