"""The decoding loop: draft, one pass of the target, verify, keep, again.

The loop owns no probability formula. Laws come from the models' sessions, drafts from a source by
a draft scheme, decisions from a verifier, and randomness from each request's tape.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spectheory.decoding.draft_source import DraftJob, DraftSource, FollowsTarget, NoDraft
from spectheory.decoding.executors import verifier_for
from spectheory.decoding.model import check_tokens
from spectheory.decoding.sampling import PLAIN, Sampling
from spectheory.decoding.session import DecodableModel, Nodes
from spectheory.decoding.statistics import Statistics
from spectheory.decoding.tape import Tape
from spectheory.decoding.tree import DraftTree
from spectheory.decoding.verifier import Drafted, Outcome, Verifier
from spectheory.decoding.vocabulary import fitted
from spectheory.drafting.scheme import DraftScheme
from spectheory.drafting.scheme import scheme as scheme_named
from spectheory.errors import ContextTooLong, InputError, TokenError


@dataclass(frozen=True)
class Request:
    """One text to continue.

    Attributes:
        prompt: ``(T,)`` token ids, T >= 1.
        new_tokens: most tokens to emit; fewer if the model's context ends before.
        seed: of the request's random numbers; its tokens do not depend on the rest of a batch, up
            to the rounding of the model's own batched arithmetic.
        sampling: the target's parameters.
        draft_sampling: the draft's; the target's if not given.
        stop: tokens after which the text ends; the stop token is emitted.
        tape: the random numbers, if not those of the seed.
    """

    prompt: Any
    new_tokens: int
    seed: int = 0
    sampling: Sampling = PLAIN
    draft_sampling: Sampling | None = None
    stop: frozenset[int] = frozenset()
    tape: Tape | None = None


class Emission(NamedTuple):
    """Tokens that one pass added to one request.

    Attributes:
        request: its index.
        tokens: at least one.
        finish: "stop", "length" or "context" if the text is complete now, else None.
        drafted: levels of the tree that was verified; 0 without a draft.
    """

    request: int
    tokens: list[int]
    finish: str | None
    drafted: int


@dataclass
class Completion:
    """A finished request.

    Attributes:
        tokens: what was emitted.
        finish: see `Emission`.
        statistics: its counts; times are of the whole run and stand in the decoder's.
    """

    tokens: list[int] = field(default_factory=list)
    finish: str = ""
    statistics: Statistics = field(default_factory=Statistics)


@dataclass
class _Active:
    """A request in progress."""

    index: int
    request: Request
    text: list[int]
    left: int
    finish: str
    tape: Tape
    step: int = 0


class Decoder:
    """Decodes requests with a target model, a draft source, a scheme and a rule.

    Args:
        target: the model whose law the output has.
        source: where drafts come from; none gives plain decoding.
        scheme: how drafts are drawn from the source's laws, by key or itself.
        rule: a token-level rule by key, or a verifier such as `Block`.
        branching: draws below each draw, level by level: ``(1,) * L`` is a chain of L tokens,
            ``(k,) + (1,) * (L - 1)`` k sequences of L tokens verified together.
        batch: requests decoded at once.
        executor: what runs the rule, "auto", "definition", "batched" or "triton"; see
            `verifier_for`.

    Raises:
        InputError: no such executor, or none of the kind for the rule.
        SchemeMismatch: the rule's claim does not cover such trees.
        VocabularyMismatch: the draft is over other tokens; other padding is no hindrance.

    The output is law-lossless if the rule is (at temperature 0 that is greedy-lossless), up to
    rounding: the target's pass over several tokens may round otherwise than its pass over one.

    >>> import numpy as np
    >>> from spectheory.decoding.draft_source import ModelDraft
    >>> from spectheory.decoding.tabular import TabularModel
    >>> rng = np.random.default_rng(0)
    >>> target, draft = (TabularModel.random(5, m, rng, exact=False) for m in (2, 1))
    >>> decoder = Decoder(target, ModelDraft(draft), branching=(1, 1, 1))
    >>> [done] = decoder.generate([Request(prompt=[0, 3], new_tokens=8, seed=1)])
    >>> len(done.tokens), done.finish
    (8, 'length')
    """

    def __init__(
        self,
        target: DecodableModel,
        source: DraftSource | None = None,
        *,
        scheme: str | DraftScheme = "iid",
        rule: str | Verifier = "rejection",
        branching: Sequence[int] = (),
        batch: int = 1,
        executor: str = "auto",
    ) -> None:
        self.target = target
        self.source = fitted(source, target) if source is not None else NoDraft()
        self.scheme = scheme_named(scheme) if isinstance(scheme, str) else scheme
        self.verifier = verifier_for(rule, target, executor)
        self.branching = tuple(branching)
        self.batch = batch
        self.statistics = Statistics()
        if batch < 1 or any(count < 1 for count in branching):
            raise InputError(
                f"`batch`, `branching` are {batch}, {self.branching}; expected integers >= 1"
            )
        self.verifier.check(self.scheme, self.branching)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """All requests, completed; see `stream`."""
        done = [Completion() for _ in requests]
        for emission in self.stream(requests, done):
            done[emission.request].tokens += emission.tokens
            done[emission.request].finish = emission.finish or ""
        return done

    def stream(
        self, requests: Sequence[Request], completions: Sequence[Completion] | None = None
    ) -> Iterator[Emission]:
        """Emit tokens as they are verified; stopping the iteration leaves nothing behind.

        Args:
            requests: all are checked before the first pass.
            completions: where to count each request's statistics, if wanted.

        Raises:
            TokenError, ContextTooLong: a prompt that is empty, of other tokens, or too long.
            InputError: a length below 1.
            ModelFailure: NaN or infinite logits.
            MemoryError: a batch that does not fit.
        """
        active = [self._checked(index, request) for index, request in enumerate(requests)]
        for start in range(0, len(active), self.batch):
            yield from self._batch(active[start : start + self.batch], completions)

    def _checked(self, index: int, request: Request) -> _Active:
        try:
            prompt = check_tokens(request.prompt, self.target.vocab_size).tolist()
        except TokenError as error:
            raise type(error)(f"request {index}: {error}") from error
        if request.new_tokens < 1:
            raise InputError(
                f"request {index}: `new_tokens` is {request.new_tokens}; expected >= 1"
            )
        left, finish = request.new_tokens, "length"
        if self.target.context is not None:
            room = self.target.context - len(prompt)
            if room < 1:
                raise ContextTooLong(
                    f"request {index}: `prompt` has {len(prompt)} tokens; model "
                    f"`{self.target.name}` looks back on {self.target.context}, so at most "
                    f"{self.target.context - 1} leave room for an answer"
                )
            if room < left:
                left, finish = room, "context"
        tape = request.tape or Tape(request.seed)
        return _Active(index, request, prompt, left, finish, tape)

    def _batch(
        self, active: list[_Active], completions: Sequence[Completion] | None
    ) -> Iterator[Emission]:
        seen = self.statistics
        with seen.timing("prompt"):
            target, drafts = self.target.session(len(active)), self.source.open(len(active))
            if isinstance(drafts, FollowsTarget):
                drafts.follow(target)
            # The last token of the prompt is read by the first step.
            target.extend([Nodes.chain(one.text[:-1], 0) for one in active])
            target.keep([range(len(one.text) - 1) for one in active])
        while active:
            before = sum(seen.seconds[phase] for phase in ("draft", "verify", "sample"))
            start = time.perf_counter()
            with seen.timing("draft"):
                trees = drafts.propose([self._job(one) for one in active], self.scheme)
            with seen.timing("verify"):
                rows = target.extend(
                    [
                        Nodes(
                            [one.text[-1], *tree.tokens],
                            [-1, *(parent + 1 for parent in tree.parents)],
                            1 + len(tree),
                        )
                        for one, tree in zip(active, trees, strict=True)
                    ]
                )
            with seen.timing("sample"):
                outcomes = self.verifier(
                    [
                        Drafted(tree, row, one.request.sampling, one.tape, one.step)
                        for one, tree, row in zip(active, trees, rows, strict=True)
                    ]
                )
            emissions = [
                self._advance(one, tree, outcome, completions)
                for one, tree, outcome in zip(active, trees, outcomes, strict=True)
            ]
            going = [row for row, emission in enumerate(emissions) if emission.finish is None]
            if going:
                target.keep([[0, *(node + 1 for node in o.path)] for o in outcomes])
                with seen.timing("draft"):
                    drafts.settle([o.path for o in outcomes], [o.token for o in outcomes])
                if len(going) < len(active):
                    target.select(going)
                    drafts.select(going)
            active = [active[row] for row in going]
            after = sum(seen.seconds[phase] for phase in ("draft", "verify", "sample"))
            elapsed = time.perf_counter() - start
            seen.seconds["host"] += elapsed - (after - before)
            yield from emissions

    def _job(self, one: _Active) -> DraftJob:
        # The pass emits one token more than it accepts, so longer drafts would be cut off.
        return DraftJob(
            one.text,
            self.branching[: one.left - 1],
            one.request.draft_sampling or one.request.sampling,
            one.tape,
            one.step,
        )

    def _advance(
        self,
        one: _Active,
        tree: DraftTree,
        outcome: Outcome,
        completions: Sequence[Completion] | None,
    ) -> Emission:
        """Append what a step emitted, cut behind a stop token."""
        tokens = [*(tree.tokens[node] for node in outcome.path), outcome.token]
        finish = None
        for count, token in enumerate(tokens, 1):
            if token in one.request.stop:
                tokens, finish = tokens[:count], "stop"
                break
        one.text += tokens
        one.left -= len(tokens)
        one.step += 1
        if finish is None and one.left == 0:
            finish = one.finish
        self.statistics.record(tree, outcome.path, len(tokens))
        if completions is not None:
            completions[one.index].statistics.record(tree, outcome.path, len(tokens))
        return Emission(one.index, tokens, finish, tree.depth)
