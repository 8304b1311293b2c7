"""Rules as named settings: `shards.limits.most` = `5`, `replicas.read_ms` = `none`.

What is set is what is kept: everything else stays at the default of the version that runs. A band that is
`none` is not looked at; `low:target:high` sets all of one at once.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from aidb_coordinator.autoscaler.rules import Band, Mode, Rules, RulesError

NONE = "none"


def configured(rules: Rules, settings: Mapping[str, str]) -> Rules:
    """The rules with what `settings` name. Raises RulesError."""
    unknown = settings.keys() - names()
    if unknown:
        raise RulesError(f"there is no setting {min(unknown)}: {', '.join(sorted(names()))}")
    changed: Rules = _changed(rules, "", settings)
    return changed


def names() -> frozenset[str]:
    """Of all settings."""
    return frozenset(name for name, _ in _leaves(Rules, "") if name != "mode")


def values(rules: Rules) -> dict[str, str]:
    """Of all settings, by name; those within a band that is not looked at are left out."""
    found = {}
    for name, _ in _leaves(Rules, ""):
        value: Any = rules
        for part in name.split("."):
            value = getattr(value, part) if value is not None else None
        if name == "mode" or (value is None and name.count(".") == 2):
            continue
        found[name] = NONE if value is None else _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, Band):
        return f"{value.low:g}:{value.target:g}:{value.high:g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _leaves(kind: Any, prefix: str) -> list[tuple[str, Any]]:
    found = []
    for name, hint in typing.get_type_hints(kind).items():
        inner = _inner(hint)
        if inner is Band:
            found.append((prefix + name, hint))
        if is_dataclass(inner):
            found += _leaves(inner, f"{prefix}{name}.")
        else:
            found.append((prefix + name, hint))
    return found


def _inner(hint: Any) -> Any:
    """Without `| None`."""
    if isinstance(hint, types.UnionType):
        return next(one for one in typing.get_args(hint) if one is not types.NoneType)
    return hint


def _changed(value: Any, prefix: str, settings: Mapping[str, str]) -> Any:
    hints = typing.get_type_hints(type(value))
    made = {}
    for field in fields(value):
        name, hint, current = prefix + field.name, hints[field.name], getattr(value, field.name)
        if name in settings:
            current = _parsed(name, hint, settings[name])
        if any(key.startswith(f"{name}.") for key in settings):
            if current is None:
                raise RulesError(f"{name} is {NONE}: set all of it, as in {name}=LOW:TARGET:HIGH")
            current = _changed(current, f"{name}.", settings)
        made[field.name] = current
    return type(value)(**made)


def _parsed(name: str, hint: Any, text: str) -> Any:
    kind = _inner(hint)
    if text == NONE and isinstance(hint, types.UnionType):
        return None
    try:
        if kind is Band:
            low, target, high = map(float, text.split(":"))
            return Band(low, target, high)
        if kind is Mode:
            return Mode(text)
        return kind(text)
    except RulesError:
        raise
    except ValueError as error:
        shape = "LOW:TARGET:HIGH" if kind is Band else "a whole number" if kind is int else "a number"
        raise RulesError(f"{name}={text}: {shape} is what it takes") from error
