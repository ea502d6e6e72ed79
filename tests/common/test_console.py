"""What strangers have written reaches a terminal as text only."""

import io
import sys

import pytest
from open_codesage.train import cli
from open_codesage.train.common.console import note, printable, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[1;1H", r"\x1b[2J\x1b[1;1H"),  # clears the screen
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\", r"\x1b]8;;http://evil\x1b\here\x1b]8;;\x1b" + "\\"),
        ("\x9b31m", r"\x9b31m"),  # the same in one character
        ("ok\rgone", r"ok\rgone"),
        ("a\nb\tc", r"a\nb\tc"),
        ("x\u202eyp.exe", r"x\u202eyp.exe"),  # turns the direction around
        ("\u2066x\u2069\u200f", r"\u2066x\u2069\u200f"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\x7f\x08\x00", r"\x7f\x08\x00"),
        ("\ufeffx\u200b", r"\ufeffx\u200b"),
        ("\udcff", r"\udcff"),
        ("def größe(名, x): 😀 👨\u200d👩 نص", "def größe(名, x): 😀 👨\u200d👩 نص"),
        ("C:\\x1b", "C:\\x1b"),
    ],
)
def test_nothing_that_a_terminal_acts_on_gets_through(text, shown):
    assert printable(text) == shown


def test_messages_keep_their_lines_and_nothing_else(capsys):
    say("one\x1b[31m\n\ttwo\r")
    note("three\x07")
    assert tuple(capsys.readouterr()) == ("one\\x1b[31m\n\ttwo\\r\n", "three\\x07\n")


def test_a_terminal_that_lacks_a_character_gets_its_number(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    say("größe 變數.py \ud800")
    sys.stdout.flush()
    assert raw.getvalue() == b"gr\xf6\xdfe \\u8b8a\\u6578.py \\ud800\n"


@pytest.mark.parametrize(
    "arguments", [["\x1b[2J"], ["search", "--\x1b[2J", "x"], ["extract", "--config", "\x1b[2J.yaml"]]
)
def test_errors_of_commands_are_escaped(arguments, capsys):
    assert cli.main(arguments) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "x1b[2J" in told


def test_keys_of_a_recipe_are_escaped(tmp_path, capsys):
    (tmp_path / "r.yaml").write_text('"steps\\e[2J": 1\n')
    assert cli.main(["extract", "--config", str(tmp_path / "r.yaml")]) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "unknown key" in told
