"""Backups, schedules, restores, and how the second copy is: what is planned of what is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.observed import Coordination
from aidb_operator.plan import backup_health, backups, bootstrap, coordinator, restores, schedules
from aidb_operator.plan.outcome import Call, Delete, Desired, Outcome, Patch, View
from aidb_operator.plan.telling import rfc3339

from aidb.v1 import cluster_pb2 as pb
from tests.operator.views import NOW, UID, coordination, plain, view

STORE = {"url": "s3://bucket/x", "endpoint": "http://s3:7070"}
NOW_MS = int(NOW.timestamp() * 1000)


def made(kind: Kind, name: str, spec: Mapping[str, Any], status: Any = None, **metadata: Any) -> Raw:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": name,
            "namespace": "test",
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": rfc3339(NOW - timedelta(hours=1)),
            **metadata,
        },
        "spec": {"cluster": "db", **spec},
        "status": dict(status or {}),
    }


def seen(*objects: Raw, spec: Mapping[str, Any] | None = None, said: Any = "", now: Any = NOW) -> View:
    """`said`: the coordinator's; None: none answers."""
    found = coordination(range(2)) if said == "" else said
    return view({"objectStore": STORE, **(spec or {})}, objects, plain(2), found, now=now)


def telling(backups: Any = (), restores: Any = ()) -> Coordination:
    found = coordination(range(2))
    found.status.backups.extend(backups)
    found.status.restores.extend(restores)
    return found


def calls(outcome: Outcome) -> list[Call]:
    return [one for one in outcome.actions if isinstance(one, Call)]


def status_of(outcome: Outcome, name: str) -> dict[str, Any]:
    (patch,) = (
        one
        for one in outcome.actions
        if isinstance(one, Patch) and one.name == name and one.subresource == "status"
    )
    found: dict[str, Any] = patch.body["status"]
    return found


def conditions(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def after(raw: Raw, outcome: Outcome) -> Raw:
    """As it is when the patches were made."""
    merged = {**raw, "metadata": dict(raw["metadata"]), "status": dict(raw["status"])}
    for one in outcome.actions:
        if isinstance(one, Patch) and one.name == raw["metadata"]["name"]:
            for part in ("metadata", "status"):
                merged[part].update(one.body.get(part, {}))
    return merged


def test_a_backup_is_asked_for_followed_and_told() -> None:
    raw = made(kinds.BACKUP, "b", {})
    first = backups.plan(seen(raw))
    (call,) = calls(first)
    assert (call.method, call.request) == ("BackupCluster", pb.BackupClusterRequest(id="uid-b", name="b"))
    assert status_of(first, "b")["phase"] == "Running"
    raw = after(raw, first)
    assert raw["metadata"]["finalizers"] == [backups.FINALIZER]

    running = pb.ClusterBackup(id="uid-b", began_ms=NOW_MS)
    running.shards.add(shard=0, snapshot="e1-3", lsn=9, bytes=100, at_ms=NOW_MS)
    running.shards.add(shard=1, problem="the store is away")
    second = backups.plan(seen(raw, said=telling([running])))
    assert calls(second) == []
    (told,) = status_of(second, "b")["conditions"]
    assert told["message"] == "1 shards done; shard 1: the store is away"
    raw = after(raw, second)
    assert backups.plan(seen(raw, said=telling([running]))).actions == [], "nothing new is to be said"

    running.shards[1].MergeFrom(pb.ShardBackup(snapshot="e2-1", lsn=5, bytes=50, at_ms=NOW_MS, problem=""))
    running.complete, running.cluster_uid = True, UID
    running.ended_ms, running.clock_ms = NOW_MS, NOW_MS + 500
    third = backups.plan(seen(raw, said=telling([running])))
    status = status_of(third, "b")
    assert (status["phase"], status["bytes"], status["clusterUid"]) == ("Complete", 150, UID)
    assert (status["url"], status["endpoint"]) == ("s3://bucket/x", "http://s3:7070")
    assert status["time"] == "2026-11-28T12:00:00.500Z"
    assert [one["snapshot"] for one in status["shards"]] == ["e1-3", "e2-1"]
    assert conditions(status) == {"Complete": ("True", "Complete"), "Failed": ("False", "Complete")}
    assert backups.plan(seen(after(raw, third))).actions == []


def test_a_backup_fails_after_its_deadline_and_waits_for_a_coordinator() -> None:
    late = {"phase": "Running", "started": rfc3339(NOW - timedelta(hours=2))}
    failed = status_of(backups.plan(seen(made(kinds.BACKUP, "b", {}, late))), "b")
    assert conditions(failed)["Failed"] == ("True", "DeadlineExceeded")
    waits = backups.plan(seen(made(kinds.BACKUP, "b", {}), said=None))
    assert (calls(waits), status_of(waits, "b")["phase"]) == ([], "Pending")
    bare = view({}, [made(kinds.BACKUP, "b", {})], plain(2), coordination(range(2)))
    assert conditions(status_of(backups.plan(bare), "b"))["Failed"] == ("True", "NoObjectStore")


def test_a_deleted_backup_is_released_before_it_goes() -> None:
    finalizers = ["other/x", backups.FINALIZER]
    raw = made(kinds.BACKUP, "b", {}, finalizers=finalizers, deletionTimestamp=rfc3339(NOW))
    (call,) = calls(backups.plan(seen(raw)))
    assert call.request.release
    (patch,) = call.then
    assert patch.body == {"metadata": {"finalizers": ["other/x"], "resourceVersion": "7"}}
    assert backups.plan(seen(raw, said=None)).actions == [], "when a coordinator answers"
    (orphan,) = backups.orphaned({kinds.BACKUP: {"b": raw}})
    assert orphan.body == patch.body
    kept = made(kinds.BACKUP, "k", {"deletionPolicy": "Retain"})
    assert "finalizers" not in after(kept, backups.plan(seen(kept)))["metadata"]


def schedule(status: Any = None, **spec: Any) -> Raw:
    return made(kinds.BACKUP_SCHEDULE, "nightly", {"schedule": "0 * * * *", **spec}, status)


def of_schedule(name: str, phase: str, hours: float) -> Raw:
    return made(
        kinds.BACKUP,
        name,
        {},
        {"phase": phase, "finished": rfc3339(NOW)} if phase != "Running" else {"phase": phase},
        labels={schedules.SCHEDULE: "nightly"},
        creationTimestamp=rfc3339(NOW - timedelta(hours=hours)),
    )


def test_a_backup_is_made_when_it_is_due_and_once() -> None:
    last = {"last": rfc3339(NOW - timedelta(hours=1))}
    outcome = schedules.plan(seen(schedule(last)))
    (desired,) = (one for one in outcome.actions if isinstance(one, Desired))
    assert desired.raw["spec"] == {"cluster": "db", "deadlineSeconds": 3600, "deletionPolicy": "Release"}
    assert "ownerReferences" not in desired.raw["metadata"]
    status = status_of(outcome, "nightly")
    assert (status["last"], status["next"]) == ("2026-11-28T12:00:00Z", "2026-11-28T13:00:00Z")
    assert status["lastBackup"] == desired.name
    again = schedules.plan(seen(after(schedule(last), outcome)))
    assert [one for one in again.actions if isinstance(one, Desired)] == []
    assert outcome.again == 3600.0

    # Four hours were missed: one backup, of the newest.
    missed = schedules.plan(seen(schedule({"last": rfc3339(NOW - timedelta(hours=4))})))
    assert len([one for one in missed.actions if isinstance(one, Desired)]) == 1


@pytest.mark.parametrize(
    ("spec", "minutes", "others", "why"),
    [
        ({"startingDeadlineSeconds": 60}, 5, (), "late"),
        ({}, 5, ("Running",), "is not ended"),
        ({"concurrencyPolicy": "Allow"}, 5, ("Running",), ""),
        ({}, 5, ("Complete",), ""),
    ],
)
def test_what_is_left_out_is_told(spec: Any, minutes: int, others: tuple[str, ...], why: str) -> None:
    raw = schedule({"last": rfc3339(NOW - timedelta(hours=1))}, **spec)
    objects = [of_schedule(f"o{number}", phase, 1) for number, phase in enumerate(others)]
    outcome = schedules.plan(seen(raw, *objects, now=NOW + timedelta(minutes=minutes)))
    assert bool([one for one in outcome.actions if isinstance(one, Desired)]) != bool(why)
    assert status_of(outcome, "nightly")["last"] == "2026-11-28T12:00:00Z", "it is not asked for again"
    assert [one.reason for one in outcome.events] == (["BackupLeftOut"] if why else [])
    if why:
        assert why in outcome.events[0].message


def test_suspended_immediate_and_wrong() -> None:
    suspended = schedules.plan(seen(schedule({"last": rfc3339(NOW - timedelta(days=9))}, suspend=True)))
    assert [one for one in suspended.actions if isinstance(one, Desired)] == []
    assert conditions(status_of(suspended, "nightly"))["Ready"] == ("False", "Suspended")
    first = schedules.plan(seen(schedule(immediate=True)))
    assert len([one for one in first.actions if isinstance(one, Desired)]) == 1
    wrong = schedules.plan(seen(schedule(timeZone="Mars/Olympus")))
    assert conditions(status_of(wrong, "nightly"))["Valid"] == ("False", "InvalidSchedule")


def test_old_backups_go_and_the_last_that_failed_stay() -> None:
    objects = [of_schedule(f"c{hours}", "Complete", hours) for hours in (1, 20, 30, 40, 80)]
    objects += [of_schedule(f"f{hours}", "Failed", hours) for hours in (1, 2, 3, 4)]
    raw = schedule({"last": rfc3339(NOW)}, keep=2, keepDays=1)
    outcome = schedules.plan(seen(raw, *objects))
    assert {one.name for one in outcome.actions if isinstance(one, Delete)} == {"c30", "c40", "c80", "f4"}


def complete(name: str = "b", uid: str = UID) -> Raw:
    status = {
        "phase": "Complete",
        "time": "2026-11-28T11:00:00.250Z",
        "clusterUid": uid,
        "url": "s3://bucket/x",
        "endpoint": "http://s3:7070",
    }
    return made(kinds.BACKUP, name, {}, status)


@pytest.mark.parametrize(
    ("spec", "request_"),
    [
        ({}, pb.RestoreRequest(id="uid-r")),
        ({"time": "2026-11-28T11:30:00Z"}, pb.RestoreRequest(id="uid-r", clock_ms=NOW_MS - 1_800_000)),
        ({"backup": "b"}, pb.RestoreRequest(id="uid-r", clock_ms=NOW_MS - 3_600_000 + 250)),
        ({"lsn": 77, "shards": [1]}, pb.RestoreRequest(id="uid-r", lsn=77, shards=[1])),
    ],
)
def test_a_restore_is_asked_for(spec: Any, request_: pb.RestoreRequest) -> None:
    raw = made(kinds.RESTORE, "r", spec)
    outcome = restores.plan(seen(raw, complete()))
    (call,) = calls(outcome)
    assert (call.method, call.request) == ("Restore", request_)
    assert status_of(outcome, "r")["phase"] == "Running"
    assert outcome.actions.index(call) == len(outcome.actions) - 1, "it is written down first"


def test_a_restore_is_followed_to_its_end() -> None:
    raw = made(kinds.RESTORE, "r", {}, {"phase": "Running", "started": rfc3339(NOW)})
    said = telling(restores=[pb.RestoreStatus(id="uid-r", shards=[0, 1], waiting=[1])])
    said.status.shards[1].reason = "restoring, tables: 1 of 9"
    outcome = restores.plan(seen(raw, said=said))
    status = status_of(outcome, "r")
    assert (status["phase"], status["waiting"], calls(outcome)) == ("Running", [1], [])
    assert "restoring, tables" in status["conditions"][0]["message"]
    del said.status.restores[0].waiting[:]
    done = status_of(restores.plan(seen(raw, said=said)), "r")
    assert (done["phase"], done["waiting"]) == ("Complete", [])
    refused = telling(restores=[pb.RestoreStatus(id="uid-r", error="nothing so old")])
    failed = status_of(restores.plan(seen(raw, said=refused)), "r")
    assert conditions(failed)["Failed"] == ("True", "Refused")


def test_one_restore_at_a_time_and_those_that_cannot_be() -> None:
    older = made(kinds.RESTORE, "a", {}, creationTimestamp=rfc3339(NOW - timedelta(hours=2)))
    begun = made(kinds.RESTORE, "r", {}, {"phase": "Running"})
    outcome = restores.plan(seen(older, begun))
    assert [one.request.id for one in calls(outcome)] == ["uid-r"]
    assert status_of(outcome, "a")["phase"] == "Pending"
    for objects, why in (
        ([made(kinds.RESTORE, "r", {"backup": "none"})], "there is no AidbBackup none"),
        ([made(kinds.RESTORE, "r", {"backup": "b"}), complete(uid="other")], "bootstrap.recovery"),
        ([made(kinds.RESTORE, "r", {"backup": "b"}), made(kinds.BACKUP, "b", {})], "is not complete"),
    ):
        failed = status_of(restores.plan(seen(*objects)), "r")
        assert failed["phase"] == "Failed"
        assert why in failed["conditions"][0]["message"]


def health(**fields: Any) -> tuple[bool | None, str, Outcome]:
    said = coordination(range(2))
    for shard in said.status.shards:
        shard.second_copy.CopyFrom(pb.SecondCopy(snapshot="e1-1", snapshot_at_ms=NOW_MS - 60_000))
    for name, value in fields.items():
        setattr(said.status.shards[1].second_copy, name, value)
    outcome = backup_health.plan(seen(said=said))
    (condition,) = outcome.conditions
    return condition.status, condition.message, outcome


def test_how_the_second_copy_is() -> None:
    status, message, outcome = health()
    assert (status, message) == (True, "")
    assert outcome.status == {"backup": {"lastSnapshot": "2026-11-28T11:59:00.000Z"}}
    for fields, what in (
        ({"archive_lag_ms": 9_000}, "shard 1: the archive is seconds behind"),
        ({"archive_lag_ms": 70_000}, "minutes behind"),
        ({"archive_error": "denied"}, "denied"),
        ({"snapshot_at_ms": NOW_MS - 9_000_000}, "the newest snapshot is of 2026-11-28T09:30"),
        ({"snapshot_error": "disk full"}, "disk full"),
        ({"verify_problem": "sst damaged"}, "sst damaged"),
        ({"drill_problem": "keys differ"}, "keys differ"),
    ):
        status, message, _ = health(**fields)
        assert status is False
        assert what in message
    assert health(age_ms=300_000)[0] is None
    assert backup_health.plan(seen(said=None)).conditions[0].status is None
    assert backup_health.plan(view({}, (), plain(2))).conditions[0].reason == "NoObjectStore"


RECOVERY = {"bootstrap": {"recovery": {"backup": "b"}}}


def test_a_cluster_begins_with_a_backup_of_another_one() -> None:
    new = view({"objectStore": STORE, **RECOVERY})
    told = coordinator.plan(new)
    assert [one.reason for one in told.conditions] == ["NoRecoverySource"]
    assert "Deployment" not in {one.raw["kind"] for one in told.actions if isinstance(one, Desired)}

    new = replace(new, observed=replace(new.observed, source=complete(uid="old-uid")))
    url = "s3://bucket/x?endpoint=http://s3:7070"
    expected = ["--recover-from", url, "--recover-uid", "old-uid"]
    expected += ["--recover-time", str(NOW_MS - 3_600_000 + 250)]
    assert list(bootstrap.arguments(new)) == expected
    arguments = deployment(new).raw["spec"]["template"]["spec"]["containers"][0]["args"]
    assert " ".join(expected) in " ".join(arguments)
    begun = replace(new, observed=replace(new.observed, topology=plain(2)))
    assert list(bootstrap.arguments(begun)) == []
    assert deployment(new).inputs == deployment(begun).inputs, "no coordinator is restarted for that"

    source = {"source": {"url": "s3://old/y"}, "clusterUid": "u", "time": "2026-11-28T12:00:00Z"}
    other = view({"objectStore": STORE, "bootstrap": {"recovery": source}})
    assert list(bootstrap.arguments(other)) == [
        *("--recover-from", "s3://old/y", "--recover-uid", "u", "--recover-time", str(NOW_MS))
    ]


def deployment(seen: View) -> Desired:
    (found,) = (
        one
        for one in coordinator.plan(seen).actions
        if isinstance(one, Desired) and one.raw["kind"] == "Deployment"
    )
    return found
