"""The zoo under audit, briefly; the whole table is a simulation."""

import pytest

from spectheory.zoo.detect import detect
from spectheory.zoo.entry import Sight, entries, entry
from spectheory.zoo.loop import StreamEntry

ALPHA = 1e-6


@pytest.mark.parametrize(
    "key",
    [
        key
        for key, one in entries().items()
        if one.seen_by is Sight.MARGINAL and one.bias(*one.case()) >= 0.01
    ],
)
def test_every_visible_bias_is_caught(key):
    found = detect(entry(key), Sight.MARGINAL, 1e-3, 1_000_000)
    assert found.caught, found


@pytest.mark.parametrize("key", ["in_place_replacement", "shifted_rows", "bonus_from_draft"])
def test_coupled_steps_are_seen_by_the_stream_audit_alone(key):
    assert not detect(entry(key), Sight.MARGINAL, ALPHA, 30_000).caught
    assert detect(entry(key), Sight.STREAM, ALPHA, 30_000).caught
    assert not detect(entry(key).mend(), Sight.STREAM, ALPHA, 30_000).caught


@pytest.mark.slow
@pytest.mark.parametrize("key", ["position_keyed_block", "position_keyed_block_and_drafts"])
def test_position_keys_are_seen_by_the_stream_audit_alone(key):
    assert not detect(entry(key), Sight.MARGINAL, ALPHA, 200_000).caught
    assert detect(entry(key), Sight.STREAM, 1e-3, 1_000_000).caught
    assert not detect(entry(key).mend(), Sight.STREAM, ALPHA, 200_000).caught


def test_a_right_law_with_too_few_acceptances_is_told_apart():
    lost = entry("draft_law_lost")
    assert detect(lost, Sight.ACCEPTANCE, ALPHA, 20_000).caught
    assert not detect(lost, Sight.MARGINAL, ALPHA, 20_000).caught
    assert not detect(lost.mend(), Sight.ACCEPTANCE, ALPHA, 20_000).caught


def test_loops_are_audited_as_streams():
    assert isinstance(entry("stale_draft_cache"), StreamEntry)
    found = detect(entry("stale_draft_cache"), Sight.STREAM, ALPHA, 10_000)
    assert not found.caught
    assert found.draws >= 10_000
