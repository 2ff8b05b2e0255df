import pytest

from spectheory.errors import MissingDependency, SourceUnavailable


@pytest.fixture(scope="session")
def smollm2():
    """The small real model, from the cache or downloaded into it."""
    from spectheory.decoding.registry import load

    try:
        return load("smollm2")
    except (SourceUnavailable, MissingDependency) as error:
        pytest.skip(f"SmolLM2 cannot be had here: {error}")
