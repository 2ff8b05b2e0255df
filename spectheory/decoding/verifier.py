"""Runs a verification rule over a draft tree: the only place where decoding meets a rule.

A verifier takes target rows and trees of a batch of requests and returns what is emitted. Another
executor of the same rules, batched on a device, stands in by offering the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from spectheory.arrays import namespace
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import Rows
from spectheory.decoding.tape import Key, Purpose, Tape
from spectheory.decoding.tree import ROOT, DraftTree
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import SchemeMismatch
from spectheory.verification.block import block_verification
from spectheory.verification.rejection import Rejection
from spectheory.verification.rule import VerificationRule


class Drafted(NamedTuple):
    """One request's step, ready to be verified.

    Attributes:
        tree: what was drafted.
        rows: target laws; row 0 behind the text so far, row i + 1 behind node i.
        sampling: the target's parameters.
        tape: the request's random numbers.
        step: passes of the target before this one.
    """

    tree: DraftTree
    rows: Rows
    sampling: Sampling
    tape: Tape
    step: int


class Outcome(NamedTuple):
    """What a step emits.

    Attributes:
        path: accepted nodes, from the top.
        token: the token emitted after them.
    """

    path: list[int]
    token: int


class Verifier(Protocol):
    """See the module."""

    @property
    def name(self) -> str: ...

    @property
    def lossless(self) -> bool: ...

    def check(self, scheme: DraftScheme, branching: Sequence[int]) -> None:
        """Refuse a kind of tree that the rule's claim does not cover.

        Raises:
            SchemeMismatch: it does not.
        """
        ...

    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """Verify each request's tree."""
        ...


@dataclass(frozen=True)
class LevelByLevel:
    """A token-level rule, applied from the top of the tree for as long as its output was drafted.

    At a node the drafts are the draws made there; a single one, of a law with no more tokens than
    that, is verified by rejection if the rule is defined for several only. Their laws below depend
    on the token alone, so whichever draft is output, and also where the residual law hits a drafted
    token, the walk may go on below it.

    Reference: sun2023spectr, section 4 (sequences); chen2023accelerating for one chain.
    """

    rule: VerificationRule

    @property
    def name(self) -> str:
        """The rule's key."""
        return self.rule.key

    @property
    def lossless(self) -> bool:
        """Whether the output is law-lossless."""
        return self.rule.lossless

    def check(self, scheme: DraftScheme, branching: Sequence[int]) -> None:
        """See `Verifier.check`."""
        _check_scheme(scheme, branching)
        shared = 1  # most draws that may meet in one node
        for drawn in branching:
            for copies in range(1, shared + 1):
                if not self.rule.serves(scheme.key, copies * drawn):
                    raise SchemeMismatch(
                        f"`branching` {tuple(branching)} by scheme `{scheme.key}` may put "
                        f"{copies * drawn} drafts at a node, which rule `{self.rule.key}` does not "
                        "cover"
                    )
            shared = 1 if scheme.distinct else shared * drawn

    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """See `Verifier.__call__`."""
        return [self._walk(drafted) for drafted in batch]

    def _walk(self, drafted: Drafted) -> Outcome:
        tree, path, node = drafted.tree, list[int](), ROOT
        while True:
            target = drafted.rows.law(node + 1, drafted.sampling)
            drawn = tree.drawn(node)
            if not drawn:
                key = Key(drafted.step, Purpose.TOKEN, node + 1)
                return Outcome(path, drafted.tape.token(target, key))
            rule = self.rule if len(drawn) >= self.rule.least_drafts else Rejection()
            verdict = rule.verdict(target, tree.laws[node], np.array(drawn))
            key = Key(drafted.step, Purpose.VERDICT, node + 1)
            token = drafted.tape.output(verdict, key)
            child = tree.child(node, token)
            if child is None:
                return Outcome(path, token)
            path.append(child)
            node = child


@dataclass(frozen=True)
class Block:
    """Block verification of one chain: law-lossless, and optimal for a single path.

    Reference: sun2025block, Algorithm 2.
    """

    name: str = "block"
    lossless: bool = True

    def check(self, scheme: DraftScheme, branching: Sequence[int]) -> None:
        """See `Verifier.check`."""
        _check_scheme(scheme, branching)
        if any(count != 1 for count in branching):
            raise SchemeMismatch(
                f"`branching` is {tuple(branching)}; block verification takes one chain, (1, 1, ..)"
            )

    def __call__(self, batch: Sequence[Drafted]) -> list[Outcome]:
        """See `Verifier.__call__`."""
        return [self._verify(drafted) for drafted in batch]

    def _verify(self, drafted: Drafted) -> Outcome:
        tree, length = drafted.tree, len(drafted.tree)
        laws = [drafted.rows.law(row, drafted.sampling) for row in range(length + 1)]
        if not length:
            return Outcome([], drafted.tape.token(laws[0], Key(drafted.step, Purpose.TOKEN, 0)))
        xp = namespace(laws[0])
        draft = xp.stack([tree.laws[node] for node in range(ROOT, length - 1)])
        verdict = block_verification(xp.stack(laws), draft, np.array(tree.tokens))
        kept, token = drafted.tape.block(verdict, Key(drafted.step, Purpose.BLOCK, 0))
        return Outcome(list(range(kept)), token)


def _check_scheme(scheme: DraftScheme, branching: Sequence[int]) -> None:
    if scheme.per_slot and branching:
        raise SchemeMismatch(
            f"scheme `{scheme.key}` draws each draft from a law of its own; below a node of a tree "
            "all are drawn from one"
        )
