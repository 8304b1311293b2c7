"""Forgets members whose pods are gone. It asks for pods only while somebody is away, and less often when that
goes on: a cluster that is well costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aidb import errors
from aidb_coordinator import departed
from aidb_coordinator.control import Control
from aidb_coordinator.health import MemberState
from aidb_coordinator.store import StoreError

log = logging.getLogger("aidb.coordinator")

FIRST_PAUSE = 5.0
LONGEST_PAUSE = 120.0
_AWAY = (MemberState.LEFT, MemberState.FAILED)

# Names of the pods that are there. Blocks; raises OSError.
Pods = Callable[[], frozenset[str]]


class Departures:
    """`run` until cancelled."""

    def __init__(self, control: Control, pods: Pods) -> None:
        self._control = control
        self._pods = pods

    async def run(self) -> None:
        pause, before = FIRST_PAUSE, frozenset[str]()
        while True:
            await asyncio.sleep(pause)
            away = self._away()
            pause = FIRST_PAUSE if away != before else min(2 * pause, LONGEST_PAUSE)
            before = away
            if away:
                await self._forget(away)
            else:
                pause = FIRST_PAUSE

    def _away(self) -> frozenset[str]:
        control = self._control
        away = {name for name in control.topology.members if control.roster.verdict(name).state in _AWAY}
        return departed.may_be_gone(control.topology, away)

    async def _forget(self, away: frozenset[str]) -> None:
        try:
            pods = await asyncio.to_thread(self._pods)
            for name in departed.gone(self._control.topology, away, pods):
                await self._control.forget(name)
        except (OSError, errors.AidbError, StoreError) as error:
            log.warning("members whose pods may be gone are not forgotten: %s", error)
