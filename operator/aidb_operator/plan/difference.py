"""Whether an object as it is has all that one as it is to be names. Servers add defaults, and others add
fields of their own: both are left alone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

# What identifies an element of a list, in the order in which it is looked for.
_KEYS = ("name", "mountPath", "containerPort", "port", "type", "uid", "topologyKey")


def covers(existing: Any, desired: Any) -> bool:
    return difference(existing, desired) == ""


def difference(existing: Any, desired: Any, where: str = "") -> str:
    """The path of the first field that differs; empty = none does."""
    match desired:
        case dict():
            if not isinstance(existing, dict):
                return where or "."
            for name, value in desired.items():
                found = difference(existing.get(name), value, f"{where}.{name}")
                if found:
                    return found
            return ""
        case list():
            return _of_lists(existing, desired, where)
        case None:
            return ""
    return "" if _same(existing, desired) else where


def _of_lists(existing: Any, desired: list[Any], where: str) -> str:
    if not desired and existing is None:
        return ""
    if not isinstance(existing, list):
        return where
    key = _key(desired)
    if key is None:
        if len(existing) != len(desired):
            return where
        pairs = zip(existing, desired, strict=True)
        return next((found for one, two in pairs if (found := difference(one, two, f"{where}[]"))), "")
    by_key = {one.get(key): one for one in existing if isinstance(one, dict)}
    for one in desired:
        found = difference(by_key.get(one[key]), one, f"{where}[{one[key]}]")
        if found:
            return found
    return ""


def _key(desired: list[Any]) -> str | None:
    """One that names each of them: a port may be there for two protocols."""
    if not desired or not all(isinstance(one, dict) for one in desired):
        return None
    for key in _KEYS:
        if all(key in one for one in desired) and len({str(one[key]) for one in desired}) == len(desired):
            return key
    return None


def _same(existing: Any, desired: Any) -> bool:
    """Quantities are stored in another form than they are written: "1000m" is "1"."""
    if existing == desired:
        return True
    if isinstance(existing, str | int) and isinstance(desired, str) and desired[:1].isdigit():
        one, two = _quantity(str(existing)), _quantity(desired)
        return one is not None and one == two
    return False


def _quantity(text: str) -> Decimal | None:
    try:
        return Decimal(parse_quantity(text))
    except (ValueError, ArithmeticError):
        return None
