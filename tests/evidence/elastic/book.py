"""What each key may hold: one task at a time writes a key, with ever higher numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tests.moves.writers import state_of


class Book:
    """Writes are numbered for each key; every seventh deletes. ``size``: bytes of a value."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._acknowledged: dict[bytes, int] = {}
        self._begun: dict[bytes, int] = {}

    @property
    def keys(self) -> list[bytes]:
        """That were ever written."""
        return list(self._begun)

    @property
    def count(self) -> int:
        """Acknowledged writes."""
        return sum(self._acknowledged.values())

    def begin(self, key: bytes) -> tuple[int, bytes | None]:
        """The number of the next write, and what it leaves: None is a delete."""
        number = self._begun[key] = self._begun.get(key, 0) + 1
        return number, self._value(number)

    def acknowledge(self, key: bytes, number: int) -> None:
        self._acknowledged[key] = number

    def floor(self, key: bytes) -> int:
        """What a read that begins now has to see, or a later write."""
        return self._acknowledged.get(key, 0)

    def why_not(self, key: bytes, found: bytes | None, floor: int) -> str:
        """What is wrong with the answer to a read that began at ``floor``; nothing, if nothing is."""
        allowed = range(floor, self._begun.get(key, 0) + 1)
        if any(found == self._value(number) for number in allowed):
            return ""
        what = "nothing" if found is None else f"write {found[:20]!r}"
        return f"{key!r} holds {what}: {floor} was acknowledged, {allowed[-1]} begun"

    def problems(self, found: dict[bytes, bytes | None]) -> Iterator[str]:
        """Of what is there when nobody writes any more."""
        for key in self._begun:
            problem = self.why_not(key, found.get(key), self.floor(key))
            if problem:
                yield problem

    def _value(self, number: int) -> bytes | None:
        value = None if number == 0 else state_of(number)
        return None if value is None else value + b" " * (self._size - len(value))
