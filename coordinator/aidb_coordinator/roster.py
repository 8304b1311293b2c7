"""The members' health over time: observations in, verdicts and their changes out. No I/O, no own clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aidb_coordinator.health import MemberState, Observation, Probe, Rules, Verdict, judge

_UNSEEN = Verdict(MemberState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Change:
    name: str
    before: Verdict
    after: Verdict


@dataclass(slots=True)
class Roster:
    """`version` rises with every changed verdict, and over restarts of the coordinator: its high half is
    the term.
    """

    rules: Rules
    version: int
    _seen: dict[str, Observation] = field(default_factory=dict)
    _verdicts: dict[str, Verdict] = field(default_factory=dict)

    def observation(self, name: str) -> Observation | None:
        return self._seen.get(name)

    def verdict(self, name: str) -> Verdict:
        return self._verdicts.get(name, _UNSEEN)

    def follow(self, names: Iterable[str], now: float) -> None:
        """Members of the topology: new ones are observed from now on, others forgotten."""
        wanted = set(names)
        if wanted == self._seen.keys():
            return
        for gone in self._seen.keys() - wanted:
            del self._seen[gone]
            self._verdicts.pop(gone, None)
        for name in wanted - self._seen.keys():
            self._seen[name] = Observation(known_since=now)
        self.version += 1

    def registered(self, name: str, process_id: str, pid: int, now: float) -> list[Change]:
        """A process begins: what was seen of the one before it counts no more."""
        self._seen[name] = Observation(known_since=now, process_id=process_id, pid=pid)
        return self.settle(name, now)

    def left(self, name: str, now: float) -> list[Change]:
        self._seen[name].left = True
        return self.settle(name, now)

    def probed(self, name: str, process_id: str, result: Probe, now: float) -> list[Change]:
        """The result of a probe that began while `process_id` was the member's process; of an earlier one
        it is void.
        """
        seen = self._seen.get(name)
        if seen is None or seen.process_id != process_id:
            return []
        seen.probe(result, self.rules)
        return self.settle(name, now)

    def settle(self, name: str, now: float) -> list[Change]:
        """Judges one member anew; the change as a list of one, or none."""
        seen, before = self._seen[name], self.verdict(name)
        after = judge(seen, now, self.rules)
        if after.state is MemberState.HEALTHY:
            seen.admitted = True
        elif after.state in (MemberState.FAILED, MemberState.LEFT):
            seen.admitted = False
        if after == before:
            return []
        self._verdicts[name] = after
        self.version += 1
        return [Change(name, before, after)]

    def tick(self, now: float, late: float = 0.0) -> list[Change]:
        """Time has passed: judges everyone. ``late``: seconds for which nobody read what members sent."""
        if late:
            for seen in self._seen.values():
                seen.excuse(late, now)
        return [change for name in self._seen for change in self.settle(name, now)]
