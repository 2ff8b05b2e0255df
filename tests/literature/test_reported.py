"""Literature data: every number has its place, every source stands in the bibliography."""

from __future__ import annotations

import collections

import pytest

from spectheory.errors import UnknownName
from spectheory.literature.printed import numbers
from spectheory.literature.reported import (
    UnplacedNumber,
    citation_keys,
    entries,
    reported,
    sources,
)

PAPERS = [source for source in sources() if source != "worked_examples"]
WHOLE = """
[speed_up]
value = "2.13"
where = "Table 1"
version = "arXiv v1"
hand = "first-hand"
"""


@pytest.mark.parametrize("source", PAPERS)
def test_every_number_of_a_paper_is_read_and_placed(source):
    for number in numbers(source):
        assert number.place.where
        assert number.place.version
        assert number.place.via or number.place.hand == "first-hand"


def test_the_papers_named_for_reproduction_have_their_numbers():
    wanted = {
        "sun2023spectr",
        "hu2025towards",
        "khisti2025multi",
        "wang2024continuous",
        "so2025grouped",
        "sun2025block",
        "weng2025traversal",
        "chen2024sequoia",
        "teng2025accelerating",
        "jang2025lantern",
    }
    assert all(len(list(numbers(source))) > 0 for source in wanted)
    assert len([n for source in PAPERS for n in numbers(source)]) > 400


@pytest.mark.parametrize("source", PAPERS)
def test_every_source_is_in_the_bibliography(source):
    assert source in citation_keys()


def test_no_number_stands_twice():
    names = collections.Counter(n.name for source in PAPERS for n in numbers(source))
    assert max(names.values()) == 1


def test_no_key_stands_twice_in_the_bibliography():
    from importlib.resources import files

    text = (files("spectheory.literature") / "references.bib").read_text(encoding="utf-8")
    keys = [line.partition("{")[2] for line in text.splitlines() if line.startswith("@")]
    assert len(keys) == len(set(keys))


def test_every_work_names_its_authors():
    from importlib.resources import files

    text = (files("spectheory.literature") / "references.bib").read_text(encoding="utf-8")
    unnamed = [line for line in text.splitlines() if "authors}}" in line]
    assert unnamed == ["  author = {{spectheory authors}},"]


def test_a_whole_entry_is_read():
    assert entries("anon2026", WHOLE)["speed_up"].value == "2.13"


@pytest.mark.parametrize("field", ["value", "where", "version", "hand"])
def test_an_entry_without_its_place_is_refused(field):
    text = "\n".join(line for line in WHOLE.splitlines() if not line.startswith(field))
    with pytest.raises(UnplacedNumber, match=rf"anon2026.toml: \[speed_up\] .*{field}"):
        entries("anon2026", text)


@pytest.mark.parametrize("field", ["value", "where", "version"])
def test_an_empty_field_is_no_place(field):
    lines = [f'{field} = ""' if line.startswith(field) else line for line in WHOLE.splitlines()]
    with pytest.raises(UnplacedNumber, match=field):
        entries("anon2026", "\n".join(lines))


def test_a_second_hand_number_names_who_quotes_it():
    with pytest.raises(UnplacedNumber, match="lacks via"):
        entries("anon2026", WHOLE.replace("first-hand", "second-hand"))


def test_unknown_provenance_and_misspelt_fields_are_refused():
    with pytest.raises(UnplacedNumber, match="hearsay"):
        entries("anon2026", WHOLE.replace("first-hand", "hearsay"))
    with pytest.raises(UnplacedNumber, match="unknown fields tabel"):
        entries("anon2026", WHOLE + 'tabel = "1"\n')


def test_an_unknown_source_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match=r"nobody2026.*sun2023spectr"):
        reported("nobody2026")
