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
