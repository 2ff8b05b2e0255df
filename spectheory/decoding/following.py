"""A drafter that follows its target: it reads each token with the target's state of the one before.

The target's last hidden state has read the whole text, so a layer behind it need not. While it
drafts ahead of the target, its own states stand in for those that the target has not computed yet.
Imports torch: load this module where a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from spectheory.decoding.distil_drafter import DistilledDrafter
from spectheory.decoding.draft_source import (
    DraftJob,
    DraftSession,
    ModelDraft,
    ModelDrafts,
    Watchable,
)
from spectheory.decoding.session import Nodes, Rows
from spectheory.decoding.transformer_session import TransformerSession
from spectheory.decoding.tree import ROOT, DraftTree
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError


class FollowingDrafter(DistilledDrafter):
    """Layers that read the pair (target's state of token t, token t + 1) at place t.

    Its state there stands for the target's of token t + 1: the head makes the law of token t + 2 of
    it, and it is what the next place reads as long as the target has not been there.

    Reference: li2024eagle.
    """

    def states(
        self, tokens: torch.Tensor, target: torch.Tensor | None = None, passes: int = 1
    ) -> list[torch.Tensor]:
        """``(B, T, size)`` states that stand for the target's of each token, by steps drafted.

        Element j is what a place says j steps ahead of the target: it reads its own guesses of the
        last j states, and the target's of all before, just as when it drafts. Of the first token,
        which has none before it, it says nothing: zeros.
        """
        assert target is not None
        embeddings = self.target.module.get_input_embeddings()(tokens[:, 1:])
        read, cache, found = target[:, :-1], DynamicCache(), []
        places = torch.arange(read.shape[1], device=tokens.device)
        for step in range(passes):
            said = self._body(
                inputs_embeds=self.parts["join"](read, embeddings),
                attention_mask=self._mask(len(places), step, read),
                position_ids=places[None],
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            found.append(torch.nn.functional.pad(said, (0, 0, 1, 0)))
            # The first places have not so many guesses behind them, and read the first state.
            read = torch.cat([target[:, :1], said[:, :-1]], dim=1)
        return found

    def session(self, texts: int, head: Callable[[Any], Any] | None = None) -> FollowingSession:
        """A session whose nodes come with the states they follow; see `EarlyExit.session`."""
        return FollowingSession(
            self.name,
            self._body,
            self.parts["join"],
            self.target.module.get_input_embeddings(),
            head or self.target.module.get_output_embeddings(),
            texts,
        )

    def _mask(self, places: int, step: int, like: torch.Tensor) -> Any:
        """Keys of step i, i < ``step``: exactly the place i steps back; of step 0: all before."""
        back = torch.arange(places)[:, None] - torch.arange(places)[None, :]
        seen = [back >= step, *(back == step - i for i in range(1, step + 1))]
        mask = torch.zeros(places, (step + 1) * places, dtype=like.dtype)
        mask.masked_fill_(~torch.cat(seen, dim=1), torch.finfo(like.dtype).min)
        whole = mask[None, None].to(like.device)
        types = set(getattr(self._body.config, "layer_types", None) or ())
        return dict.fromkeys(types, whole) if len(types) == 2 else whole


class FollowingSession(TransformerSession):
    """A session whose nodes are pairs of a token and the state it follows.

    Attributes:
        features: ``(B, n, size)`` states of the nodes of the next pass.
        states: ``(B, n, size)`` what the last pass said of its nodes.
    """

    features: torch.Tensor
    states: torch.Tensor
    nothing: torch.Tensor
    """No states."""

    def __init__(
        self, name: str, body: Any, join: Any, embeddings: Any, head: Any, texts: int
    ) -> None:
        def run(keep: torch.Tensor, **inputs: Any) -> torch.Tensor:
            joined = join(self.features, embeddings(inputs.pop("input_ids")))
            self.states = body(inputs_embeds=joined, use_cache=True, **inputs).last_hidden_state
            logits: torch.Tensor = head(self.states[:, keep])
            return logits

        config, weight = body.config, embeddings.weight
        self.nothing = weight.new_empty(0, weight.shape[1])
        super().__init__(name, run, config, config.num_hidden_layers, texts, weight)

    def read(self, batch: Sequence[Nodes], features: Sequence[torch.Tensor]) -> Sequence[Rows]:
        """`extend`, with the ``(n, size)`` states that each text's nodes follow."""
        self.features = torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True)
        return self.extend(batch)


class FollowingDraft(ModelDraft):
    """Drafts from a drafter that follows the target it is used with.

    Attributes:
        model: a `FollowingDrafter`, or one with a pruned head.
    """

    def open(self, texts: int) -> DraftSession:
        """See `DraftSource.open`."""
        return _FollowingDrafts(self.model, texts)


@dataclass
class _FollowingDrafts(ModelDrafts):
    """`ModelDrafts`, except for what is read: pairs, and on true states again after each step."""

    session: FollowingSession = field(init=False)
    behind: list[dict[int, torch.Tensor]] = field(init=False, default_factory=list)
    """For each text what was said of the nodes read, which their children follow."""

    def follow(self, target: object) -> None:
        """See `FollowsTarget.follow`."""
        if not isinstance(target, Watchable):
            raise InputError(
                f"draft `{self.model.name}` follows a transformer; this target is none"
            )
        size, own = target.watch(), self.session.nothing.shape[1]
        if size != own:
            raise InputError(
                f"draft `{self.model.name}` follows states of size {own}; this target's have "
                f"{size}. A drafter of another target?"
            )
        self.target = target

    def propose(self, jobs: Sequence[DraftJob], scheme: DraftScheme) -> list[DraftTree]:
        # A text of one token has no pair to read yet.
        able = [job if len(job.text) > 1 else job._replace(branching=()) for job in jobs]
        return super().propose(able, scheme)

    def settle(self, paths: Sequence[Sequence[int]], tokens: Sequence[int]) -> None:
        # Accepted nodes are read again, with the target's states in place of guesses.
        self.session.keep([[] for _ in paths])
        self.pending = [0] * len(paths)

    def _catch_up(self, jobs: Sequence[DraftJob]) -> Sequence[Rows]:
        pairs, features = [], []
        for text, job in enumerate(jobs):
            unread = job.text[self.read[text] + 1 :] if job.branching else []
            pairs.append(Nodes.chain(unread, min(1, len(unread))))
            features.append(self.target.take_states(text) if unread else self.session.nothing)
        rows = self.session.read(pairs, features)
        self.session.keep([range(len(new.tokens)) for new in pairs])
        self.read = [read + len(new.tokens) for read, new in zip(self.read, pairs, strict=True)]
        self.behind = [
            {ROOT: states[len(new.tokens) - 1]} if new.tokens else {}
            for states, new in zip(self.session.states, pairs, strict=True)
        ]
        return rows

    def _read(self, batch: Sequence[Nodes]) -> Sequence[Rows]:
        features = [
            torch.stack([behind[parent] for parent in nodes.parents])
            if len(nodes.tokens)
            else self.session.nothing
            for behind, nodes in zip(self.behind, batch, strict=True)
        ]
        rows = self.session.read(batch, features)
        for text, (behind, nodes) in enumerate(zip(self.behind, batch, strict=True)):
            for i in range(len(nodes.tokens)):
                behind[self.pending[text] + i] = self.session.states[text, i]
        return rows
