"""Named errors for bad input: each message gives the argument, its value and the likely cause."""


class InputError(ValueError):
    """Base of every error that a caller's input can raise."""


class DistributionError(InputError):
    """An array that should hold probabilities does not (logits, NaN, negative, wrong sum)."""


class ShapeError(InputError):
    """Axes do not fit together."""


class VocabularyMismatch(ShapeError):
    """Target and draft are over vocabularies of different sizes."""


class SupportError(InputError):
    """More distinct drafts were asked for than tokens have positive draft probability."""


class ImpossibleDraft(InputError):
    """A drafted token cannot have come from the declared draft law."""


class SchemeMismatch(InputError):
    """A rule was asked for a draft scheme, or a number of drafts, that it is not defined for."""


class TooLarge(InputError):
    """An exact enumeration would need more tuples than the guard allows."""


class UnknownName(InputError):
    """No rule, scheme or model has that key."""


class TokenError(InputError):
    """Token ids that a model cannot read: none at all, not integers, or outside its vocabulary."""


class ContextTooLong(TokenError):
    """More tokens than the model's context window."""


class NoRatioLaw(InputError):
    """The law of a pair's likelihood ratio is not known, so nothing exact follows from it."""


class SamplerFailure(InputError):
    """A sampler under audit raised, or returned something that is no set of draws."""


class ModelFailure(RuntimeError):
    """A model returned something that is no set of logits (NaN, or no finite entry in a row)."""


class EmptyResidual(RuntimeError):
    """A draft was rejected, but the law that should replace it has no mass to draw from."""


class MissingDependency(ImportError):
    """A package of an optional extra is not installed."""


class SourceUnavailable(RuntimeError):
    """None of the places a model or data set may come from could deliver it."""


class OptInNeeded(SourceUnavailable):
    """The only source left is an unofficial copy, which is used on request only."""


class ChecksumMismatch(RuntimeError):
    """A downloaded file is not the one that the registry pins."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's own, or one of torch, not imported here.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY))
    )


_NO_MEMORY = ("allocate memory", "STATUS_ALLOC_FAILED")
"""In messages of torch's plain RuntimeErrors: of its CPU allocator, and of CUDA's libraries."""
