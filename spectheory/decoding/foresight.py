"""What acceptance a draft source can expect on a text, before anything is decoded with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from spectheory.arrays import Array
from spectheory.decoding.draft_source import (
    DraftJob,
    DraftSource,
    FollowsTarget,
    RunsShort,
    Watchable,
)
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import DecodableModel, Nodes, Session
from spectheory.decoding.tape import Tape
from spectheory.decoding.tree import ROOT
from spectheory.decoding.vocabulary import fitted
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError
from spectheory.verification.rule import VerificationRule


class LoggedAcceptance(NamedTuple):
    """Acceptance at each position of a text.

    Attributes:
        first: ``(n,)`` chance that the output is one of k drafts; 0 where nothing was drafted.
        later: ``(n,)`` the same with one draft, as below the first level of k sequences.
        offered: ``(n,)`` levels that are drafted at most: 0 where nothing was, those up to the end
            of the text if there is no limit.
        alike: ``(n,)`` bool, whether all k drafts are the same token, as copies are: they share
            the nodes of one chain.
    """

    first: np.ndarray
    later: np.ndarray
    offered: np.ndarray
    alike: np.ndarray


class LawsAt(NamedTuple):
    """What meets at a position of a text.

    Attributes:
        target: ``(V,)`` law.
        draft: ``(V,)`` law of the first draft; None where nothing is drafted.
        levels: how deep the drafts could go on.
    """

    target: Array
    draft: Array | None
    levels: int


def logged_acceptance(
    target: DecodableModel,
    source: DraftSource,
    text: np.ndarray,
    start: int,
    *,
    scheme: DraftScheme,
    rule: VerificationRule,
    k: int = 1,
    sampling: Sampling,
    draft_sampling: Sampling | None = None,
) -> LoggedAcceptance:
    """Acceptances along a text, from the closed form of a rule at each position's two laws.

    The text should be one that the target wrote: on another, positions are not weighted as they
    occur. Below the first level of k sequences one survivor is assumed, which is what remains
    unless two drafts agree.

    Args:
        target: the model.
        source: where drafts come from.
        text: ``(T,)`` prompt and continuation.
        start: length of the prompt; n = T - start.
        scheme: how drafts are drawn.
        rule: a rule with closed-form rates under the scheme.
        k: drafts at the first level.
        sampling: the target's parameters.
        draft_sampling: the draft's; the target's if not given.

    Raises:
        InputError: no position to log, or a rule without a closed form.
    """
    laws = laws_along(
        target,
        source,
        text,
        start,
        scheme=scheme,
        sampling=sampling,
        draft_sampling=draft_sampling,
    )
    size = len(text) - start
    first, later, offered = np.zeros(size), np.zeros(size), np.zeros(size, dtype=np.int64)
    alike = np.zeros(size, dtype=bool)
    for row, (law, draft, levels) in enumerate(laws):
        if draft is None:
            continue
        offered[row] = min(levels, size - row)
        alike[row] = float(draft.max()) == 1
        for k_here, rates in ((k, first), (1, later)):
            found = rule.rates(law, draft, scheme.most_drafts(draft, k_here), scheme.key)
            if found is None:
                raise InputError(
                    f"rule `{rule.key}` has no closed-form acceptance under `{scheme.key}`"
                )
            rates[row] = min(1.0, float(found.acceptance))
    return LoggedAcceptance(first, later, offered, alike)


def laws_along(
    target: DecodableModel,
    source: DraftSource,
    text: np.ndarray,
    start: int,
    *,
    scheme: DraftScheme,
    sampling: Sampling,
    draft_sampling: Sampling | None = None,
) -> Iterator[LawsAt]:
    """The laws at each position of a text from ``start`` on.

    Arguments and errors as for `logged_acceptance`.
    """
    tokens = np.asarray(text).tolist()
    if not 1 <= start < len(tokens):
        raise InputError(f"`start` is {start}; expected 1 to {len(tokens) - 1}, inside the text")
    session, drafts, tape = target.session(1), fitted(source, target).open(1), Tape(0)
    replay = None
    if isinstance(drafts, FollowsTarget):
        replay = _Replay(session)
        drafts.follow(replay)
    # One pass gives all rows; a row becomes a law only when its turn comes.
    [rows] = session.extend([Nodes.chain(tokens[:-1], len(tokens) - start)])
    session.keep([range(len(tokens) - 1)])
    for row in range(len(rows)):
        if replay is not None:
            replay.reached = start + row - 1  # the last token is read by the pass to come
        so_far = tokens[: start + row]
        levels = drafts.offered(so_far, 0) if isinstance(drafts, RunsShort) else len(tokens)
        job = DraftJob(so_far, (1,), draft_sampling or sampling, tape, row)
        [tree] = drafts.propose([job], scheme)
        yield LawsAt(rows.law(row, sampling), tree.laws.get(ROOT), levels)
        drafts.settle([[]], [tokens[start + row]])


class _Replay:
    """The target's session as a draft that follows it saw it: states only as far as it had read."""

    def __init__(self, session: Session) -> None:
        self.session: Any = session
        self.reached = self._taken = 0
        self._states: Any = None

    def watch(self) -> int:
        if not isinstance(self.session, Watchable):
            raise InputError("the draft follows its target, whose states cannot be read")
        return self.session.watch()

    def take_states(self, text: int) -> Any:
        if self._states is None:
            self._states = self.session.take_states(text)
        taken, self._taken = self._taken, self.reached
        return self._states[taken : self.reached]
