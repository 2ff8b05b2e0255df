"""Verification takes a token's law from the wrong row of a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectheory.zoo.loop import Block, StreamEntry, token_correction


@dataclass(frozen=True)
class BonusFromDraft(StreamEntry):
    """When every draft is accepted, the token after them comes from the draft's last law.

    The plainest mistake of the one row that has no draft to compare with; no public report of it
    was found.
    """

    key = "bonus_from_draft"
    mechanism = "after a fully accepted block the bonus token is drawn from the draft's last law"
    sources = ()

    def correction(self, block: Block, kept: np.ndarray) -> np.ndarray:
        full = (kept == self.gamma)[:, None]
        return np.where(full, block.draft[:, -1], super().correction(block, kept))


@dataclass(frozen=True)
class ShiftedRows(StreamEntry):
    """Each draft is compared with the target's law of the token after it."""

    key = "shifted_rows"
    mechanism = "verification reads the target's laws one row too late"
    sources = (
        "https://github.com/mlx-node/mlx-node/pull/11",
        "https://github.com/feifeibear/LLMSpeculativeSampling/issues/29",
    )

    def rows(self, laws: np.ndarray) -> np.ndarray:
        return np.append(laws[:, 1:], laws[:, -1:], axis=1)


@dataclass(frozen=True)
class BlockTokenResidual(StreamEntry):
    """Block verification with the residual of token-level verification, ``(p - q)_+``."""

    key = "block_token_residual"
    mechanism = "block verification replaces tokens from (p - q)+ without the block's weight"
    sources = ("https://github.com/vllm-project/vllm-ascend/pull/7808",)
    block = True

    def correction(self, block: Block, kept: np.ndarray) -> np.ndarray:
        return token_correction(block, kept)
