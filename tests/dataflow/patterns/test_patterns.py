"""The text of patterns, its errors, and the places in them."""

from __future__ import annotations

import itertools
import re

import pytest

from dataflow.patterns.pattern_places import MAX_PLACES, MAX_STEPS, places_of
from dataflow.patterns.pattern_syntax import parse_pattern
from operators.errors import DataflowError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("A B", "A B"),
        ("  A\tB{ 2 ,}C ", "A B{2,} C"),
        ("A{,3} B{1,} C{0,1} D{2,2}", "A{0,3} B+ C? D{2}"),
        ("((A) (B C))", "A B C"),
        ("(A|B)|C D", "A | B | C D"),
        ("A (B|C)* D", "A (B | C)* D"),
        ("(A B)+", "(A B)+"),
        ("(A+){2}", "(A+){2}"),
        ("A.*B", "A .* B"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    pattern = parse_pattern(text)
    assert str(pattern) == canonical
    assert parse_pattern(canonical) == pattern


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wrong at its end: a name is missing"),
        ("A | ", "wrong at its end: a name is missing"),
        ("A (B", "wrong at character 3: this '(' has no ')'"),
        ("A )", "wrong at character 3: there is no '(' for this ')'"),
        ("* A", "wrong at character 1: there is nothing before this that could be repeated"),
        ("A+*", "wrong at character 3: this is repeated already"),
        ("A{2", "wrong at character 2: '{' has no meaning here; repetitions are {n}, {n,} or {n,m}"),
        ("A{,}", "say how often"),
        ("A{3,2}", "3 is more than 2"),
        ("A{0}", "numbers of repetitions are from 1 to 64"),
        ("A{65}", "numbers of repetitions are from 1 to 64"),
        ("A-B", "wrong at character 2: '-' has no meaning here"),
        ("(" * 17 + "A" + ")" * 17, "at most 16 parentheses"),
        ("A " * 501, "at most 1,000 characters"),
        (None, "takes the text of a pattern"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(DataflowError, match=re.escape(message)):
        parse_pattern(text)


def words(text: str, most: int) -> set[str]:
    """What the places of a pattern accept, of at most so many rows that each meet one condition."""
    places = places_of(parse_pattern(text))
    found, ways = set(), [(p,) for p in places.first]
    for _ in range(most):
        found |= {"".join(places.names[p] for p in way) for way in ways if way[-1] in places.last}
        ways = [(*way, p) for way in ways for p in places.following[way[-1]]]
    return found


@pytest.mark.parametrize(
    "text",
    [
        "A B{2,} C",
        "A (B|C)* A",
        "(A|B){2,3}",
        "(A? B){2}",
        "(A B|C)+ A?",
        "A{2,} B{,2}",
        "((A|B) C?){1,2} | C",
        "(A+){2}",
    ],
)
def test_places_accept_what_the_text_says(text: str) -> None:
    plain = re.compile(text.replace(" ", "").replace("{,", "{0,"))
    every = {"".join(w) for n in range(1, 6) for w in itertools.product("ABC", repeat=n)}
    assert words(text, 5) == {w for w in every if plain.fullmatch(w)}


def test_places_are_in_the_order_of_the_text() -> None:
    places = places_of(parse_pattern("A (B C){2,} D?"))
    assert places.names == ("A", "B", "C", "B", "C", "D")
    assert (places.first, places.last) == ((0,), (4, 5))
    assert places.following == ((1,), (2,), (3,), (4,), (3, 5), ())
    assert places.further() == (3, 4, 5)


def test_what_fits_no_rows_and_what_is_too_large() -> None:
    with pytest.raises(DataflowError, match="also fits no rows"):
        places_of(parse_pattern("A? B*"))
    places_of(parse_pattern(f"A{{{MAX_PLACES}}}"))
    with pytest.raises(DataflowError, match=f"at most {MAX_PLACES} places"):
        places_of(parse_pattern(f"A{{{MAX_PLACES}}} B"))
    with pytest.raises(DataflowError, match=f"more than {MAX_STEPS} ways"):
        places_of(parse_pattern("A " + "B? " * 29 + "C"))
