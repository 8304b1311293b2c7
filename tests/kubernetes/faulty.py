"""An API whose requests and answers get lost."""

from __future__ import annotations

import random
from typing import Any

from aidb_coordinator.kubernetes.api import Api, NoAnswer, Object


class Faulty(Api):
    """Loses requests, and twice as often the answers of what was done."""

    def __init__(self, connection: Any, seed: int, odds: float) -> None:
        super().__init__(connection)
        self.dice = random.Random(seed)
        self.odds = odds
        self.lost = 0

    def _call(self, method: str, path: str, timeout: float, **more: Any) -> Object:
        if self.dice.random() < self.odds / 2:
            raise NoAnswer(f"{method} {path}: the request is lost")
        answer = super()._call(method, path, timeout, **more)
        if self.dice.random() < self.odds:
            self.lost += 1
            raise NoAnswer(f"{method} {path}: the answer is lost")
        return answer
