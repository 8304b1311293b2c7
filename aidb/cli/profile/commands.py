"""`aidb profile ...`. Functions raise Failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.profile import config
from aidb.cli.profile.choice import chosen
from aidb.cli.profile.entries import Profile, Unfit


def list_all(how: Output) -> None:
    known = config.load()
    found = [
        {"name": name, "current": name == known.current, **one.entries()}
        for name, one in sorted(known.profiles.items())
    ]
    if how is Output.JSON:
        output.document(found)
        return
    rows = [
        ("*" if one["current"] else "", str(one["name"]), *(str(one.get(entry, "")) for entry in _SHOWN))
        for one in found
    ]
    output.table(("", "NAME", *(entry.replace("_", " ").upper() for entry in _SHOWN)), rows)


_SHOWN = ("address", "tls", "token_file", "keyspace", "output")


def show(name: str | None, how: Output) -> None:
    if name is None:
        choice = chosen()
        if choice.name is None:
            raise Failure(
                "no profile is in use: name one, or make one current (aidb profile use)", Exit.NOT_FOUND
            )
        name = choice.name
    found = {"name": name, **config.load().named(name).entries()}
    if how is Output.JSON:
        output.document(found)
        return
    for entry, value in found.items():
        output.line(f"{entry} {value}")


def set_entries(name: str, entries: dict[str, Any], unset: list[str]) -> None:
    config.check_name(name)
    known = config.load()
    before = known.profiles.get(name, Profile()).entries()
    try:
        for entry in unset:
            Profile.of({entry: None})
        after = Profile.of({key: value for key, value in before.items() if key not in unset} | entries)
    except Unfit as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error
    config.save(replace(known, profiles={**known.profiles, name: after}))
    output.note(f"profile {name} is kept in {config.path()}")


def use(name: str | None) -> None:
    """None: no profile is current any more."""
    known = config.load()
    if name is not None:
        known.named(name)
    config.save(replace(known, current=name))
    output.note("no profile is current" if name is None else f"profile {name} is current")


def remove(name: str) -> None:
    known = config.load()
    known.named(name)
    rest = {other: one for other, one in known.profiles.items() if other != name}
    config.save(config.Config(None if known.current == name else known.current, rest))
    output.note(f"profile {name} is removed")
