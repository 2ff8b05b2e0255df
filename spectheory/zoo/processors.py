"""Sampling parameters that the verifier forgets: tokens are tested against a law not asked for.

A sampler is given the law that its tokens should have. What the verifier sees instead is rebuilt
from it here: temperature and logit bias are undone exactly; a truncation is undone by giving the
cut mass to the draft's tokens outside the target's support.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from spectheory.arrays import capped_ratio
from spectheory.distributions import normalise, residual, temper, top_p
from spectheory.zoo.cases import language_pair
from spectheory.zoo.single_draft import SingleDraft


@dataclass(frozen=True)
class ParameterIgnored(SingleDraft):
    """Verification, residual included, reads the law before a sampling parameter."""

    @abstractmethod
    def unprocessed(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """``(V,)`` law that the verifier reads."""

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.asarray(capped_ratio(self.unprocessed(target, draft), draft))

    def residual(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.asarray(residual(self.unprocessed(target, draft), draft))


@dataclass(frozen=True)
class TemperatureIgnored(ParameterIgnored):
    """Output from the law at temperature 1 where a lower temperature was asked for.

    Attributes:
        temperature: what was asked for.
    """

    key = "temperature_ignored"
    mechanism = "the verifier reads the target's logits before the temperature"
    sources = (
        "https://github.com/sgl-project/sglang/issues/39253",
        "https://github.com/vllm-project/vllm/issues/9834",
    )

    temperature: float = 0.7

    def unprocessed(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.asarray(temper(target, 1 / self.temperature))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        target, draft = (np.asarray(temper(law, self.temperature)) for law in language_pair())
        return target, draft


@dataclass(frozen=True)
class TopPIgnored(ParameterIgnored):
    """Output from the whole law where its nucleus was asked for.

    Attributes:
        mass: of the nucleus.
    """

    key = "top_p_ignored"
    mechanism = "the verifier reads the target's law before top-p"
    sources = ("https://github.com/vllm-project/vllm/pull/10198",)

    mass: float = 0.95

    def unprocessed(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return with_tail(target, draft, self.mass)

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        target, draft = language_pair()
        return np.asarray(top_p(target, self.mass)), draft


@dataclass(frozen=True)
class LogitBiasIgnored(SingleDraft):
    """Drafts are tested against the law before a logit bias; the residual has it.

    The biased token is the target's mode.

    Attributes:
        shift: added to the logit, in nats.
    """

    key = "logit_bias_ignored"
    mechanism = "a logit bias is applied to sampled tokens, but not where drafts are verified"
    sources = (
        "https://github.com/sgl-project/sglang/issues/10617",
        "https://github.com/vllm-project/vllm/issues/42744",
    )

    shift: float = 1.0

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        before = target.copy()
        before[np.argmax(target)] *= np.exp(-self.shift)
        return np.asarray(capped_ratio(before / before.sum(), draft))


@dataclass(frozen=True)
class GrammarIgnored(SingleDraft):
    """Drafts are tested against the law before a grammar's mask; the residual has it.

    Attributes:
        mass: that the model gives to what the grammar allows.
    """

    key = "grammar_ignored"
    mechanism = "a grammar's mask is not applied inside the speculated block"
    sources = ("https://github.com/vllm-project/vllm/issues/36138",)

    mass: float = 0.9

    def accept(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        return np.asarray(capped_ratio(with_tail(target, draft, self.mass), draft))

    def case(self) -> tuple[np.ndarray, np.ndarray]:
        target, draft = language_pair()
        allowed = np.where(np.arange(target.size) % 3 != 0, target, 0.0)
        return allowed / allowed.sum(), draft


def with_tail(target: np.ndarray, draft: np.ndarray, mass: float) -> np.ndarray:
    """``mass`` of the target, the rest on the draft's tokens that the target rules out, if any."""
    outside = np.where(target > 0, 0.0, draft)
    if outside.sum() == 0:
        return target
    return mass * target + (1 - mass) * np.asarray(normalise(outside, fallback=outside))
