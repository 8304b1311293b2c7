"""`report`: what somebody needs who is to find out what ails a cluster, in one archive, without secrets.

aidbclusters.yaml, pods.yaml, ...       objects, as `redact` leaves them
pods/NAME.log, pods/NAME.previous.log   the ends of the logs
coordinator/status.json, ...            what the coordinator knows, if one answers
findings.txt                            what is wrong by what it knows, and which page helps
report.json                             of what, when, and what could not be had
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml

from aidb.cli import output
from aidb.cli.exits import Failure
from aidb.cli.parameters import Output
from aidb.report import findings
from aidb.report.archive import Archive, archive, default_path
from aidb.report.coordinator import documents, plain
from aidb.report.findings import Finding
from aidb.report.redaction import redacted
from aidb_operator import names
from aidb_operator.kubectl import logs
from aidb_operator.kubectl.leader import coordinator
from aidb_operator.kubectl.place import Place
from aidb_operator.kubernetes import kinds
from aidb_operator.kubernetes.kinds import Kind, Raw

# Those that carry the cluster's label. Of secrets there is nothing.
_LABELLED = (
    kinds.SHARD_GROUP,
    kinds.STATEFUL_SET,
    kinds.DEPLOYMENT,
    kinds.POD,
    kinds.VOLUME_CLAIM,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.BUDGET,
    kinds.NETWORK_POLICY,
)
_NAMING = (kinds.BACKUP, kinds.BACKUP_SCHEDULE, kinds.RESTORE)


def report(place: Place, name: str | None, into: Path | None, how: Output, *, tail: int) -> None:
    """Raises Failure, OSError."""
    cluster = place.cluster(name)
    name = cluster["metadata"]["name"]
    path = into or default_path(name)
    about: dict[str, Any] = {"cluster": name, "namespace": place.namespace}
    about |= {"at_ms": time.time_ns() // 1_000_000}
    problems: list[Finding] = []
    with archive(path, about) as made:
        _add_objects(place, cluster, made)
        _add_logs(place, name, tail, made)
        try:
            with coordinator(place, cluster) as leader:
                for member, answer in documents(leader.call):
                    made.add_document(member, plain(answer))
                    problems += findings.of_answer(answer)
        except Failure as failure:
            made.lacks("the coordinator", failure)
            problems.append(findings.of_silence("coordinator", str(failure), coordinator=True))
        made.add("findings.txt", findings.as_text(problems))
    if how is not Output.TABLE:
        output.document(about | {"missing": made.missing, "file": str(path)})
        return
    print(path)
    for what in made.missing:
        output.note(f"left out: {what}")


def _add_objects(place: Place, cluster: Raw, made: Archive) -> None:
    name = cluster["metadata"]["name"]
    made.add_redacted("aidbclusters.yaml", _yaml([cluster]))
    for kind in (*_LABELLED, *_NAMING, kinds.EVENT):
        try:
            made.add_redacted(f"{kind.plural}.yaml", _yaml(_objects(place, kind, name)))
        except Failure as failure:
            made.lacks(kind.plural, failure)


def _add_logs(place: Place, name: str, tail: int, made: Archive) -> None:
    for pod in logs.pods(place, name):
        statuses = pod.get("status", {}).get("containerStatuses") or ()
        restarted = any(one.get("restartCount", 0) > 0 for one in statuses)
        for previous in (False, True) if restarted else (False,):
            if content := logs.text(place, pod, tail, previous=previous):
                made.add(f"pods/{pod['metadata']['name']}{'.previous' * previous}.log", content)


def _objects(place: Place, kind: Kind, name: str) -> list[Raw]:
    """Of the cluster. Raises Failure."""
    if kind in _LABELLED:
        return place.all(kind, f"{names.CLUSTER}={name}")
    found = place.all(kind)
    if kind is kinds.EVENT:
        return [one for one in found if str(one.get("regarding", {}).get("name", "")).startswith(name)]
    return [one for one in found if one.get("spec", {}).get("cluster") == name]


def _yaml(found: list[Raw]) -> str:
    return str(yaml.safe_dump_all([redacted(one) for one in found], sort_keys=False))
