"""What acceptance a draft source can expect on a text, before anything is decoded with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spectheory.decoding.draft_source import DraftJob, DraftSource
from spectheory.decoding.sampling import Sampling
from spectheory.decoding.session import DecodableModel, Nodes
from spectheory.decoding.tape import Tape
from spectheory.decoding.tree import ROOT
from spectheory.drafting.scheme import DraftScheme
from spectheory.errors import InputError
from spectheory.verification.rule import VerificationRule


class LoggedAcceptance(NamedTuple):
    """Acceptance at each position of a text.

    Attributes:
        first: ``(n,)`` chance that the output is one of k drafts; 0 where nothing was drafted.
        later: ``(n,)`` the same with one draft, as below the first level of k sequences.
    """

    first: np.ndarray
    later: np.ndarray


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
    tokens = np.asarray(text).tolist()
    if not 1 <= start < len(tokens):
        raise InputError(f"`start` is {start}; expected 1 to {len(tokens) - 1}, inside the text")
    # One pass gives all rows; a row becomes a law only when its turn comes.
    [rows] = target.session(1).extend([Nodes.chain(tokens[:-1], len(tokens) - start)])
    drafts, tape = source.open(1), Tape(0)
    first, later = np.zeros(len(rows)), np.zeros(len(rows))
    for row in range(len(rows)):
        known = tokens[: start + row]
        job = DraftJob(known, (1,), draft_sampling or sampling, tape, row)
        [tree] = drafts.propose([job], scheme)
        if ROOT in tree.laws:
            law = rows.law(row, sampling)
            for k_here, rates in ((k, first), (1, later)):
                found = rule.rates(law, tree.laws[ROOT], k_here, scheme.key)
                if found is None:
                    raise InputError(
                        f"rule `{rule.key}` has no closed-form acceptance under `{scheme.key}`"
                    )
                rates[row] = min(1.0, float(found.acceptance))
        drafts.settle([[]], [tokens[start + row]])
    return LoggedAcceptance(first, later)
