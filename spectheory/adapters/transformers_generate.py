"""transformers: assisted generation itself, ``generate(..., assistant_model=...)``, in process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from spectheory.adapters.engine import Emitted, Engine, laws_by_context
from spectheory.adapters.tabular_causal_lm import tabular_causal_lm
from spectheory.audit.stream_steps import Steps
from spectheory.decoding.early_exit import EarlyExit
from spectheory.decoding.tabular import TabularModel
from spectheory.decoding.transformer import TransformerModel
from spectheory.distributions import from_logits


@dataclass(frozen=True)
class TransformersGenerate(Engine):
    """Assisted generation with sampling at temperature 1, no top-k and no top-p.

    Attributes:
        drafts: tokens that the assistant proposes a step.
        confidence: the assistant stops after a token that it gave less than this probability, as
            it does by default at 0.4; 0 lets it propose all.
        length: tokens a text.
    """

    distribution: ClassVar[str] = "transformers"
    tested: ClassVar[tuple[str, ...]] = ("5.23.0",)
    reference: ClassVar[str] = "https://github.com/huggingface/transformers"

    drafts: int = 3
    confidence: float = 0.0
    length: int = 64

    @classmethod
    def examples(cls) -> Iterator[Engine]:
        yield cls()
        yield cls(confidence=0.4)

    @property
    def key(self) -> str:
        return "transformers-generate" + ("-confidence" if self.confidence else "")

    @property
    def calls(self) -> str:
        return "transformers.GenerationMixin.generate"

    @property
    def depth(self) -> int:
        return self.drafts

    def step(
        self, target: np.ndarray, draft: np.ndarray, contexts: np.ndarray, seed: int
    ) -> Emitted:
        """One text for each request; a "step" is the whole of it, as the text is what is drawn."""
        rng = np.random.default_rng(seed)
        size = target.shape[1]
        p, q = (tabular_causal_lm(np.broadcast_to(t, (size, size))) for t in (target, draft))
        texts = []
        for context in contexts:
            blocks = self.generate(p, q, np.array([context]), int(rng.integers(2**62)))
            texts.append(np.concatenate(blocks))
        return Emitted(np.stack(texts), np.full(len(texts), self.length))

    def blocks(self, target: np.ndarray, draft: np.ndarray, n: int, seed: int) -> Iterator[Emitted]:
        texts = -(-n // self.length)
        yield self.step(target[None], draft[None], np.zeros(texts, dtype=np.int64), seed)

    def decode(
        self, target: TabularModel, draft: TabularModel, requests: int, steps: int, seed: int
    ) -> Iterator[Steps]:
        """Whole texts, with the blocks in which they were emitted; ``steps`` is not used.

        Raises:
            InputError: models that look back on more than one token.
        """
        p, q = laws_by_context(target), laws_by_context(draft)
        models = tabular_causal_lm(p), tabular_causal_lm(q)
        rng = np.random.default_rng(seed)
        for request in range(requests):
            context = int(rng.integers(len(p)))
            blocks = self.generate(*models, np.array([context]), int(rng.integers(2**62)))
            before = np.concatenate([[context], *blocks])[:-1]
            yield self.steps(request, blocks, p[before], q[before])

    def steps(
        self, request: int, blocks: list[np.ndarray], target: np.ndarray, draft: np.ndarray
    ) -> Steps:
        """The steps of one text, ``(T, V)`` laws along it; the last block may be cut short."""
        counts = np.array([len(block) for block in blocks])
        inside = np.arange(counts.max()) < counts[:, None]
        tokens = np.zeros(inside.shape, dtype=np.int64)
        tokens[inside] = np.concatenate(blocks)
        laws = np.zeros((2, *inside.shape, target.shape[1]))
        laws[:, inside] = target, draft
        laws[:, ~inside] = target[0]  # not read
        # A confident assistant proposes fewer; how many is not told, but at least those emitted.
        most = counts if self.confidence else np.full(len(counts), self.drafts)
        return Steps(
            request=np.full(len(counts), request),
            tokens=tokens,
            counts=counts,
            drafted=most,
            target=laws[0],
            draft=laws[1],
        )

    def generate(self, target: Any, draft: Any, prompt: np.ndarray, seed: int) -> list[np.ndarray]:
        """One text by the real function: the blocks that it emitted, in order.

        Args:
            target: a transformers causal language model.
            draft: another over the same tokenizer.
            prompt: ``(T,)`` tokens.
            seed: of torch's global generator, which the function draws from.
        """
        import torch

        ids = torch.from_numpy(np.asarray(prompt, dtype=np.int64))[None]
        draft.generation_config.update(
            num_assistant_tokens=self.drafts,
            num_assistant_tokens_schedule="constant",
            assistant_confidence_threshold=self.confidence,
        )
        blocks = _Blocks()
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed)
            target.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                assistant_model=draft,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=self.length,
                min_new_tokens=self.length,
                eos_token_id=None,
                pad_token_id=0,
                streamer=blocks,
            )
        return blocks.emitted

    def real_text(
        self, target: TransformerModel, layer: int, prompt: np.ndarray, seed: int
    ) -> Steps:
        """The steps of one text of a real model, drafted by its own first layers.

        Args:
            target: the model.
            layer: of the early exit that drafts.
            prompt: ``(T,)`` tokens.
            seed: of the text.
        """
        drafter = target.early_exit(layer)
        blocks = self.generate(target.module, exit_module(drafter), prompt, seed)
        text = np.concatenate([prompt, *blocks])[:-1]
        along = slice(len(prompt) - 1, None)
        p, q = (from_logits(model.logits(text)[along]) for model in (target, drafter))
        return self.steps(0, blocks, p, q)


def exit_module(drafter: EarlyExit) -> Any:
    """The early exit as a transformers model of its own, sharing all weights."""
    import copy

    module = drafter.target.module
    view = copy.copy(module)
    view._modules = dict(module._modules)
    view._modules[module.base_model_prefix] = drafter._body
    view.config = drafter._body.config
    view.generation_config = copy.deepcopy(module.generation_config)
    return view


class _Blocks:
    """A streamer that keeps what each step emitted, and not the prompt."""

    def __init__(self) -> None:
        self.emitted: list[np.ndarray] = []
        self._prompt = True

    def put(self, value: Any) -> None:
        if not self._prompt:
            self.emitted.append(np.atleast_1d(np.asarray(value).squeeze()))
        self._prompt = False

    def end(self) -> None: ...
