"""`--help`, and what is said to those who mistype."""

from __future__ import annotations

import pytest

from aidb.cli.main import run
from tests.cli.apps import commands


def test_every_command_and_option_says_what_it_does() -> None:
    silent = [
        f"{name} {' '.join(parameter.opts)}"
        for name, command in commands()
        for parameter in command.params
        if not parameter.help and not getattr(parameter, "hidden", False)
    ]
    assert not silent
    assert not [name for name, command in commands() if not command.help]


def test_no_help_is_taken_for_markup() -> None:
    """Square brackets are, and are not shown: a default is told by `show_default`."""
    for name, command in commands():
        for parameter in command.params:
            assert "[" not in (parameter.help or ""), f"{name} {parameter.opts}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("stats", "'status'"), ("profile lst", "'list'"), ("status --adress x", "--address")],
)
def test_who_mistypes_is_told_what_there_is(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(typed.split()) == 2
    said = capsys.readouterr().err
    assert meant in said and "--help" in said
