"""Kubernetes quantities: `500m`, `2Gi`, `1e3`. Kept as written, as the API server keeps them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

PATTERN = r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]{1,2}))?$"
_SHAPE = re.compile(PATTERN)
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def value(text: str) -> Decimal:
    """In the unit without suffix: cores, bytes. Raises ValueError."""
    if not _SHAPE.match(text):
        raise ValueError(f"{text!r} is no quantity: a number with a suffix such as m, k, M, Mi or Gi")
    number = text.lstrip("+")
    if re.search(r"[eE][-+]?[0-9]+$", number):
        return Decimal(number)
    digits = number.rstrip("numkMGTPEi")
    return Decimal(digits) * _SUFFIXES[number[len(digits) :]]


def whole(text: str) -> int:
    """As `value`, rounded up: bytes. Raises ValueError."""
    exact = value(text)
    return int(exact) + (exact != int(exact))


def _text(given: object) -> object:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _checked(text: str) -> str:
    value(text)
    return text


Quantity = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_checked),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": PATTERN}),
]
"""As users write them: a string, or a whole number."""

SizeText = Annotated[
    str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": 32})
]
"""Where CEL compares: always a string."""
