"""Cleaning, bounding and escaping of single texts, for any text."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import Fault, UserError
from harness.measure.failure import verdict
from harness.text import clean, escapes
from harness.text.streams import CleanStream, clean_output, console
from tests.text.hostile import TEXTS, formulas, markdown_markup, unprintable

ANY = st.one_of(
    st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=())), st.text("\x1b[]0;m\x07\\\x9b\r\n a\u202e")
)


UNHURRIED = settings(deadline=None)  # the machine may be busy


@UNHURRIED
@given(ANY)
def test_clean_text_is_printable_and_stays_so(text: str) -> None:
    found = clean.clean(text)
    assert unprintable(found) == []
    assert clean.clean(found) == found
    found.encode("utf-8")


@UNHURRIED
@given(ANY, st.integers(60, 500))
def test_a_line_is_bounded(text: str, limit: int) -> None:
    found = clean.one_line(text, limit)
    assert len(found) <= limit
    assert found.isprintable()
    assert len(clean.bounded(text, limit)) <= limit
    assert unprintable(clean.bounded(text, limit)) == []


@UNHURRIED
@given(st.text(st.characters(exclude_categories=["Zs"])), st.text(st.characters(exclude_categories=["Zs"])))
def test_different_texts_stay_different(one: str, other: str) -> None:
    if "\\" not in one + other:
        assert (clean.escaped(one) == clean.escaped(other)) == (one == other)


def test_words_remain_and_colours_go() -> None:
    assert clean.clean("\x1b[1;31mloss\x1b[0m is\tNaN\r\nü 火 😀") == "loss is NaN\nü 火 😀"
    assert clean.clean("\x1b]no end") == "\\x1b]no end", "an unfinished sequence must not swallow the rest"
    assert clean.one_line("a\n  b\n\nc") == "a b c"
    long = clean.one_line("first " + "x" * 5000 + " last", 100)
    assert long.startswith("first ")
    assert long.endswith(" last")
    assert clean.SHORTENED in long


def test_nested_data_keeps_its_numbers_and_keys() -> None:
    data: dict[str, Any] = {"a\x00": ["\x1b[1mx", 1, 2.5, None, True], "a\x01": ({"b": "\u202e"},), "n": [1, 2]}
    assert clean.cleaned(data) == {"a\\x00": ["x", 1, 2.5, None, True], "a\\x01": ({"b": "\\u202e"},), "n": [1, 2]}


@UNHURRIED
@given(ANY)
def test_markdown_has_no_markup_of_data(text: str) -> None:
    plain = clean.one_line(text)
    paragraph = escapes.markdown_paragraph(plain)
    assert markdown_markup(f"# {escapes.markdown(plain)}\n\n{paragraph}\n") == set()
    table = f"| a | b |\n| --- | --- |\n| {escapes.markdown(plain)} | 1 |\n"
    assert markdown_markup(table) == set()
    assert table.replace("\\\\", "").replace("\\|", "").count("|") == 9


@pytest.mark.parametrize("text", ["http://evil.example", "see HTTPS://x", "www.evil.example"])
def test_markdown_has_no_bare_links(text: str) -> None:
    assert re.search(r"(?<!\\):|(?<!\\)\.", escapes.markdown(text).replace(".example", "")) is None


@UNHURRIED
@given(ANY)
def test_latex_has_no_commands_of_data(text: str) -> None:
    found = escapes.latex(clean.one_line(text))
    for ours in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\textasciigrave{}", r"\textbar{}"):
        found = found.replace(ours, "")
    for ours in ("{[}", "{]}", "{*}", r"$\pm$", r"$\geq$", r"$\leq$", r"$\Delta$", "$-$", r"$\times$", "$<$", "$>$"):
        found = found.replace(ours, "")
    for special in "&%$#_{}":
        found = found.replace(f"\\{special}", "")
    assert not set(found) & set("\\&%$#_{}~^[]*|`")


@UNHURRIED
@given(st.one_of(ANY, st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_csv_has_no_formulas_and_keeps_numbers(value: Any) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerow([escapes.csv_cell(value)])
    assert formulas(stream.getvalue()) == []
    if not isinstance(value, str):
        assert escapes.csv_cell(value) is value


def test_numbers_as_text_stay_numbers() -> None:
    assert [escapes.csv_cell(text) for text in ("-5", "+1e3", "-x", "x")] == ["-5", "+1e3", "'-x", "x"]


@UNHURRIED
@given(ANY)
def test_messages_of_exceptions_are_clean(text: str) -> None:
    assert unprintable(str(UserError([Fault(text, text, text)]))) == []
    for error in (
        RuntimeError(text),
        UserError(text),
        type("E\x1b[31m\u202e", (Exception,), {})(text),
    ):
        _, message = verdict(error)
        assert unprintable(message) == []
        assert len(message) <= clean.TEXT_LIMIT + clean.LINE_LIMIT


def test_an_exception_that_cannot_say_its_message_has_a_verdict() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

    status, message = verdict(Mute())
    assert status == "failed"
    assert message == "Mute: (an exception whose message cannot be read: ValueError)"


def test_output_is_clean_whatever_prints(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    with clean_output():
        print("\x1b[2Jgone\u202e")
        table = Table("\x1b[2Jname")
        table.add_row("\x1b[31m[red]cell\x00")
        console(width=80).print(table, markup=False)
    shown = capsys.readouterr().out
    assert unprintable(shown) == []
    assert "gone\\u202e" in shown
    assert "cell\\x00" in shown


def test_a_clean_stream_is_otherwise_the_stream() -> None:
    raw = io.StringIO()
    stream: Any = CleanStream(raw)
    stream.writelines(["a\x07", "b"])
    assert raw.getvalue() == "a\\x07b"
    assert stream.isatty() is False
