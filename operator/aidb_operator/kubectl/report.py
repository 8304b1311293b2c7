"""`report`: what somebody needs who is to find out what ails a cluster, in one archive, without secrets.

aidbclusters.yaml, pods.yaml, ...       objects, as `redact` leaves them
pods/NAME.log, pods/NAME.previous.log   the ends of the logs
coordinator/status.json, ...            what the coordinator knows, if one answers
report.json                             of what, when, and what could not be had
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.json_format import MessageToDict

from aidb.cli import output
from aidb.cli.exits import Failure
from aidb.cli.parameters import Output
from aidb.v1 import cluster_pb2 as pb
from aidb_operator import names
from aidb_operator.kubectl import logs
from aidb_operator.kubectl.leader import coordinator
from aidb_operator.kubectl.place import Place
from aidb_operator.kubectl.redact import redacted, text
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
_CALLS = (
    ("status", "GetClusterStatus", pb.GetClusterStatusRequest()),
    ("moves", "ListMoves", pb.ListMovesRequest()),
    ("operations", "ListOperations", pb.ListOperationsRequest()),
    ("events", "ListEvents", pb.ListEventsRequest(limit=1000)),
    ("changes", "ListTopologyChanges", pb.ListTopologyChangesRequest(limit=1000)),
    ("scaling", "GetScaling", pb.GetScalingRequest()),
)


def report(place: Place, name: str | None, into: Path | None, how: Output, *, tail: int) -> None:
    """Raises Failure, OSError."""
    cluster = place.cluster(name)
    name = cluster["metadata"]["name"]
    path = into or Path(f"aidb-report-{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
    root, missing = path.name.partition(".")[0], list[str]()
    with path.open("xb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member, content in _members(place, cluster, tail, missing):
            _add(archive, f"{root}/{member}", content)
        about: dict[str, Any] = {"cluster": name, "namespace": place.namespace}
        about |= {"at_ms": time.time_ns() // 1_000_000, "missing": missing}
        _add(archive, f"{root}/report.json", json.dumps(about, indent=2))
    if how is Output.JSON:
        output.document(about | {"file": str(path)})
        return
    print(path)
    for what in missing:
        output.note(f"left out: {what}")


def _members(place: Place, cluster: Raw, tail: int, missing: list[str]) -> Iterator[tuple[str, str]]:
    name = cluster["metadata"]["name"]
    yield "aidbclusters.yaml", _yaml([cluster])
    for kind in (*_LABELLED, *_NAMING, kinds.EVENT):
        try:
            yield f"{kind.plural}.yaml", _yaml(_objects(place, kind, name))
        except Failure as failure:
            missing.append(f"{kind.plural}: {failure}")
    for pod in logs.pods(place, name):
        statuses = pod.get("status", {}).get("containerStatuses") or ()
        restarted = any(one.get("restartCount", 0) > 0 for one in statuses)
        for previous in (False, True) if restarted else (False,):
            if content := logs.text(place, pod, tail, previous=previous):
                yield f"pods/{pod['metadata']['name']}{'.previous' * previous}.log", text(content)
    try:
        with coordinator(place, cluster) as leader:
            for member, method, request in _CALLS:
                yield f"coordinator/{member}.json", _json(leader.call(method, request))
    except Failure as failure:
        missing.append(f"the coordinator: {failure}")


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


def _json(message: Any) -> str:
    document = MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps(redacted(document), indent=2)


def _add(archive: tarfile.TarFile, name: str, content: str) -> None:
    encoded = content.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(encoded), int(time.time())
    archive.addfile(info, io.BytesIO(encoded))
