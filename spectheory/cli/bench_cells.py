"""What `spectheory bench decode` times: each configuration on each prompt, one cell a pair."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spectheory.decoding.decoder import Decoder, Request
from spectheory.decoding.grouped_heads import uncopied_groups
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.verifier import Block
from spectheory.verification.rule import rule

if TYPE_CHECKING:
    from spectheory.decoding.draft_source import DraftSource
    from spectheory.decoding.transformer import TransformerModel

PLAIN = "plain"
"""Our own loop without drafts: what ratios are taken to."""

THEIR_PLAIN = "transformers"
"""Transformers' own ``generate`` without drafts."""


class Choice(NamedTuple):
    """One way to decode; the length is planned from the measured costs.

    Attributes:
        draft: the draft source's short name; "none" for plain decoding.
        rule: rule key, or "block".
        k: sequences drafted together.
        temperature: of target and draft. At 0 the draft is still sampled where k > 1.
        executor: what runs the rule; see `verifier_for`.
    """

    draft: str
    rule: str
    k: int
    temperature: float
    executor: str = "auto"

    @property
    def name(self) -> str:
        """For tables."""
        if self.draft == "none":
            return PLAIN
        return f"{self.draft} {self.rule}" + (f" k={self.k}" if self.k > 1 else "")

    @property
    def baseline(self) -> bool:
        """Whether it is what others are compared with."""
        return self.draft == "none"

    @property
    def scheme(self) -> str:
        """How drafts are drawn: i.i.d., unless the rule is for another scheme only."""
        if self.rule == "block":
            return "iid"
        schemes = rule(self.rule).schemes
        return "iid" if "iid" in schemes else schemes[0]

    def sampling(self) -> tuple[Sampling, Sampling]:
        """The target's and the draft's parameters."""
        target = Sampling(self.temperature)
        return target, (Sampling() if self.k > 1 and not self.temperature else target)


class Peer(NamedTuple):
    """A mode of transformers' own ``generate``.

    Attributes:
        mode: "plain", "lookup", "assisted", "assisted:L" (an early exit) or "static".
        temperature: of sampling.
    """

    mode: str
    temperature: float

    @property
    def name(self) -> str:
        """For tables."""
        return THEIR_PLAIN if self.mode == "plain" else f"{THEIR_PLAIN} {self.mode}"

    @property
    def baseline(self) -> bool:
        """All of them are."""
        return True


@dataclass
class Cell:
    """One configuration on one prompt.

    Attributes:
        seconds: of the whole request, prompt included.
        tokens: what was emitted.
        calls: passes of the target; 0 where transformers does not tell.
        tested, accepted: conditional acceptance by depth; see `Statistics`.
        lengths: accepted lengths, by length.
        phases: seconds by phase.
    """

    seconds: float
    tokens: list[int]
    calls: int = 0
    tested: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)


def run_choice(
    target: TransformerModel,
    source: DraftSource,
    choice: Choice,
    branching: Sequence[int],
    prompt: np.ndarray,
    new_tokens: int,
    seed: int,
) -> Cell:
    """Decode one prompt and time it; stop tokens are ignored, so that all texts are as long."""
    decoder = Decoder(
        target,
        source,
        rule=Block() if choice.rule == "block" else choice.rule,
        scheme=choice.scheme,
        branching=branching,
        executor=choice.executor,
    )
    sampling, drawn = choice.sampling()
    start = time.perf_counter()
    [done] = decoder.generate([Request(prompt, new_tokens, seed, sampling, drawn)])
    seconds = time.perf_counter() - start
    seen = decoder.statistics
    return Cell(
        seconds,
        done.tokens,
        seen.calls,
        [seen.tested[depth] for depth in sorted(seen.tested)],
        [seen.accepted[depth] for depth in sorted(seen.tested)],
        [seen.lengths[length] for length in range(max(seen.lengths) + 1)],
        dict(seen.seconds),
    )


def run_peer(
    target: TransformerModel,
    peer: Peer,
    prompt: np.ndarray,
    new_tokens: int,
    seed: int,
    room: int,
    assistant: Any = None,
) -> Cell:
    """The same request by transformers' ``generate``, from its own defaults for each mode.

    Args:
        room: tokens that a static cache holds; one size for all prompts is compiled once.
        assistant: the model of the assisted mode.
    """
    import torch
    from transformers import CompileConfig, GenerationConfig, StaticCache

    # A token that does not exist ends a text: like ours, all texts are as long.
    settings: dict[str, Any] = {
        "max_new_tokens": new_tokens,
        "pad_token_id": 0,
        "eos_token_id": target.vocab_size,
    }
    if peer.temperature:
        settings |= {"do_sample": True, "temperature": peer.temperature, "top_k": 0, "top_p": 1.0}
    kind, _, layer = peer.mode.partition(":")
    extra: dict[str, Any] = {}
    if kind == "lookup":
        settings |= {"prompt_lookup_num_tokens": 10}
    elif kind == "assisted" and layer:
        settings |= {"assistant_early_exit": int(layer)}
    elif kind == "assisted":
        extra = {"assistant_model": assistant}
    elif kind == "static":
        compilation = CompileConfig(dynamic=False)
        compilation._compile_all_devices = True  # on CPU too
        settings |= {"compile_config": compilation}
        extra = {"past_key_values": StaticCache(config=target.module.config, max_cache_len=room)}
    ids = torch.from_numpy(np.asarray(prompt, dtype=np.int64))[None].to(target.module.device)
    devices = [ids.device] if ids.device.type == "cuda" else []
    groups = uncopied_groups(ids.device.type)
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings(), groups:
        warnings.simplefilter("ignore")  # advice about its own arguments
        torch.manual_seed(seed)
        start = time.perf_counter()
        made = target.module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(**settings),
            **extra,
        )
        tokens = made[0, ids.shape[1] :].tolist()
        seconds = time.perf_counter() - start
    if len(tokens) != new_tokens:
        raise RuntimeError(f"{peer.name} emitted {len(tokens)} tokens, not {new_tokens}")
    return Cell(seconds, tokens)
