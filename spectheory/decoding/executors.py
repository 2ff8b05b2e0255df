"""Which executor runs a rule inside the decoder: its definition, the batched one, or kernels."""

from __future__ import annotations

from typing import Any

from spectheory.decoding.verifier import LevelByLevel, Verifier
from spectheory.errors import InputError
from spectheory.verification.rule import rule as rule_named

EXECUTORS = ("auto", "definition", "batched", "triton")
"""What may be asked for."""


def verifier_for(rule: str | Verifier, target: Any, executor: str = "auto") -> Verifier:
    """The verifier that applies a rule, given by key, level by level; a verifier is itself.

    Args:
        rule: its key, or a verifier.
        target: the model whose laws are verified against.
        executor: "definition" makes float64 probabilities of one row after the other on the host
            and runs the rule as it is defined; "batched" reads the raw logits of all requests where
            they lie; "triton" runs Triton kernels there, for `rejection` and `optimal_iid` on CUDA.
            "auto" takes the batched one where the target runs in torch and the rule has one, but on
            "mps", which has no float64: on CPU it never took longer for the rules timed
            (sims/tables/decode_verification.md). It never takes the kernels: no measurement on a
            GPU says that they are faster.

    Raises:
        UnknownName: no such rule.
        InputError: no such executor, or the rule has none of the kind, or one that does not run
            where the target does.
        MissingDependency: kernels without Triton.

    >>> verifier_for("k_seq", target=None).name
    'k_seq'
    >>> verifier_for("k_seq", target=None, executor="batched").name
    'k_seq, batched'
    """
    if executor not in EXECUTORS:
        raise InputError(f"`executor` is {executor!r}; expected {', '.join(EXECUTORS)}")
    if not isinstance(rule, str):
        if executor in ("batched", "triton"):
            raise InputError(f"`executor` is {executor!r}, which `{rule.name}` does not have")
        return rule
    definition = LevelByLevel(rule_named(rule))
    if executor == "triton":
        from spectheory.decoding.triton_verifier import kernels_for

        return kernels_for(rule, target)
    device = getattr(getattr(target, "module", None), "device", None)
    no_float64 = device is not None and device.type == "mps"
    if executor == "definition" or (executor == "auto" and (device is None or no_float64)):
        return definition
    if no_float64:
        raise InputError("`executor` is 'batched' and the target on mps, which has no float64")
    from spectheory.batched.rule import batched_rules
    from spectheory.decoding.batched_verifier import BatchedLevels

    found = batched_rules().get(rule)
    if found is not None:
        return BatchedLevels.of(found)
    if executor == "batched":
        raise InputError(
            f"`executor` is 'batched', which rule `{rule}` does not have; the rules that do: "
            f"{', '.join(batched_rules())}"
        )
    return definition
