"""A backup, the end of its cluster, and a new cluster that begins with it."""

from __future__ import annotations

from dataclasses import replace

from e2e.harness.cluster import CREDENTIALS
from e2e.harness.kubectl import until
from e2e.harness.load import Told
from e2e.harness.world import World
from tests.checkers.history import Operation, Outcome

_KEYS = ["--name", "restored"]
_SECOND_SESSIONS = 200


def test_backup_and_restore(world: World) -> None:
    """The new cluster has everything that was acknowledged before the backup was asked for, and of what was
    written afterwards any part: to the checkers, writes whose outcome nobody knows.
    """
    kubectl = world.kubectl
    first = world.small_cluster("first", deletionPolicy="Delete")
    with world.load(first, *_KEYS) as clients:
        clients.flows(calls=20)
        asked = clients.now()
        kubectl.apply(
            {
                "apiVersion": "aidb.io/v1alpha1",
                "kind": "AidbBackup",
                "metadata": {"name": "backup"},
                "spec": {"cluster": first.name},
            }
        )
        until("the backup", lambda: _phase(world) == "Complete", 180)
        clients.flows()
        before = clients.stop()
    before.check()
    kubectl.delete("aidbcluster", first.name)
    until("no pods", lambda: not kubectl.items("pods", f"aidb.io/cluster={first.name}"), 120)
    world.machine.free_volumes()
    store = world.s3.object_store(f"{kubectl.namespace}-second", CREDENTIALS)
    second = world.small_cluster("second", objectStore=store, bootstrap={"recovery": {"backup": "backup"}})
    with world.load(second, *_KEYS, "--first", str(_SECOND_SESSIONS), "--seed", "2") as clients:
        clients.flows(calls=50)
        after = clients.stop()
    world.scenario.check(Told(_as_of(before.operations, asked), before.counts).merged(after))


def _phase(world: World) -> str:
    status = world.kubectl.get("aidbbackup", "backup").get("status", {})
    assert status.get("phase") != "Failed", status
    return str(status.get("phase"))


def _as_of(history: list[Operation], moment: int) -> list[Operation]:
    """What is certain at ``moment``, and later writes as possible."""
    certain = [one for one in history if one.end <= moment]
    possible = [
        replace(one, outcome=Outcome.UNKNOWN, version=0) for one in history if one.end > moment and one.writes
    ]
    return certain + possible
