"""`make evidence-idle`: what clusters ask of the API server when nothing happens, by its own audit log.

One cluster of real processes (two coordinators, a shard, a router): first its autoscaler adds a replica and a
shard, so that operator and coordinators have worked. Then `--rounds` applies of the unchanged
spec, after which every object has to be at the version that it was at; then `--minutes` of nothing, in which
operator and coordinators together may make two calls a minute, renewals of the Lease and open watches apart.
(`evidence-clusters` has many clusters, and no programs.)
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.evidence.report import Report, parser
from tests.kubernetes import apiserver as programs
from tests.kubernetes.apiserver import ApiServer
from tests.kubernetes.fake_workloads import FakeWorkloads
from tests.operator.running import CLUSTERS, IMAGE, get, make, patch, until

MOST_CALLS = 2.0
SECONDS = 600.0
QUIET_SECONDS = 15.0
READS = ("get", "list")
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# What may change although nothing does: renewals. Events are told, and are no state.
KINDS = (
    *("statefulsets", "deployments", "poddisruptionbudgets", "shardgroups", "aidbclusters"),
    *("configmaps", "services", "secrets", "serviceaccounts", "persistentvolumeclaims"),
)

GROUPS = "/apis/aidb.io/v1alpha1/namespaces/{}/shardgroups"
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"

Calls = Counter[tuple[str, str]]  # verb, resource


class Audit:
    """The calls of accounts, in order, as the API server wrote them down."""

    def __init__(self, path: Path, accounts: Mapping[str, str]) -> None:
        self._path = path
        self._accounts = accounts

    def here(self) -> int:
        return self._path.stat().st_size

    def since(self, position: int) -> Mapping[str, Calls]:
        """By account, watches and Leases apart."""
        found: dict[str, Calls] = {name: Counter() for name in self._accounts.values()}
        with self._path.open("rb") as file:
            file.seek(position)
            for line in file:
                event = json.loads(line)
                who = self._accounts.get(event["user"]["username"])
                resource = event.get("objectRef", {}).get("resource", event["requestURI"])
                if who is not None and event["verb"] != "watch" and resource != "leases":
                    found[who][event["verb"], resource] += 1
        return found

    def quiet(self, seconds: float) -> None:
        """Returns when nobody has called for so long."""
        until(lambda: self._unchanged(seconds), f"{seconds:.0f} s without a call", SECONDS)

    def _unchanged(self, seconds: float) -> bool:
        begin = self.here()
        time.sleep(seconds)
        return not any(self.since(begin).values())


@contextlib.contextmanager
def operator(
    server: ApiServer, account: Path, namespace: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "aidb_operator", "--namespaces", namespace, "--image", IMAGE]
    with log.open("ab") as to:
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0"],
            stdout=to,
            stderr=to,
            env={**os.environ, "KUBECONFIG": str(account)},
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def account(server: ApiServer, namespace: str) -> Path:
    server.kubectl("-n", namespace, "create", "serviceaccount", "operator")
    server.kubectl(
        *("create", "clusterrolebinding", f"operator-{namespace}", "--clusterrole=cluster-admin"),
        f"--serviceaccount={namespace}:operator",
    )
    return server.account_kubeconfig(namespace, "operator", seconds=36_000)


def one_cluster(server: ApiServer, audit_log: Path, folder: Path, asked: Any, report: Report) -> None:
    namespace = server.namespace("idle")
    names = {f"system:serviceaccount:{namespace}:{name}": name for name in ("operator", "db-coordinator")}
    audit = Audit(audit_log, names)
    with (
        FakeWorkloads(server, namespace, folder),
        operator(server, account(server, namespace), namespace, folder / "operator.log"),
    ):
        make(server, namespace, shards=1, replicas=0, routers={"replicas": 1})
        until(lambda: _is_ready(server, namespace), "a cluster that is ready", SECONDS)
        _scale(server, namespace)
        until(lambda: _slots(server, namespace, 1) == 8192, "half of the slots on a second shard", SECONDS)
        until(lambda: _is_ready(server, namespace), "a cluster that is ready", SECONDS)
        audit.quiet(QUIET_SECONDS)
        print("a replica and a shard by the autoscaler; nothing happens any more", flush=True)
        report.round(f"applies={asked.rounds}", _applies(server, namespace, audit, asked.rounds))
        begin = audit.here()
        time.sleep(asked.minutes * 60)
        calls = audit.since(begin)
        each = sum(sum(found.values()) for found in calls.values()) / asked.minutes
        for who, found in calls.items():
            print(f"  {who}: {_told(found)}", flush=True)
        wrong = [f"{each:.2f} calls a minute"] if each > MOST_CALLS else []
        report.round(f"minutes={asked.minutes} calls_per_minute={each:.2f}", wrong)


def _scale(server: ApiServer, namespace: str) -> None:
    """The autoscaler's limits make a replica and a shard; in between it steps aside for somebody else's."""
    group = f"{GROUPS.format(namespace)}/db-0"
    status = functools.partial(_status, server, group)
    rules: dict[str, Any] = {"intervalSeconds": 5, "replicas": {"enabled": True, "min": 1}}
    patch(server, namespace, autoscaling=rules)
    until(lambda: status().get("readyReplicas") == 1, "a replica", SECONDS)
    target = {"apiVersion": "aidb.io/v1alpha1", "kind": "ShardGroup", "name": "db-0"}
    body = {"metadata": {"name": "theirs"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    theirs = HPAS.format(namespace)
    server.request("POST", theirs, body)
    until(lambda: status().get("scaledBy") == "theirs", "a step aside", SECONDS)
    server.request("DELETE", f"{theirs}/theirs")
    patch(server, namespace, autoscaling={**rules, "shards": {"enabled": True, "min": 2}})


def _status(server: ApiServer, path: str) -> dict[str, Any]:
    found: dict[str, Any] = server.request("GET", path).get("status", {})
    return found


def _applies(server: ApiServer, namespace: str, audit: Audit, times: int) -> list[str]:
    """What an apply of what is there already changed."""
    spec = get(server, namespace, "aidbclusters/db")["spec"]
    body = {
        "apiVersion": "aidb.io/v1alpha1",
        "kind": "AidbCluster",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": spec,
    }
    path = f"{CLUSTERS.format(namespace)}/db?fieldManager=people&force=true"
    server.request("PATCH", path, body, "application/apply-patch+yaml")  # the first one takes the fields
    audit.quiet(QUIET_SECONDS)
    before, begin = _versions(server, namespace), audit.here()
    for _ in range(times):
        server.request("PATCH", path, body, "application/apply-patch+yaml")
    time.sleep(QUIET_SECONDS)
    after = _versions(server, namespace)
    wrong = [
        f"{name} was at version {old}, is at {after.get(name)}"
        for name, old in before.items()
        if old != after.get(name)
    ]
    for who, found in audit.since(begin).items():
        wrong += [
            f"{who}: {verb} {resource}, {count} times"
            for (verb, resource), count in found.items()
            if verb not in READS
        ]
    return wrong


def _versions(server: ApiServer, namespace: str) -> dict[str, str]:
    return {
        f"{kind}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for kind in KINDS
        for one in get(server, namespace, kind)["items"]
    }


def _slots(server: ApiServer, namespace: str, shard: int) -> int:
    status = get(server, namespace, f"shardgroups/db-{shard}").get("status", {})
    return int(status.get("slots") or 0)


def _told(calls: Calls) -> str:
    return ", ".join(f"{verb} {what} {count}" for (verb, what), count in sorted(calls.items())) or "nothing"


def _is_ready(server: ApiServer, namespace: str) -> bool:
    conditions = get(server, namespace, "aidbclusters/db").get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def main() -> int:
    asking = parser("idle")
    asking.add_argument("--minutes", type=float, default=2.0)
    asked = asking.parse_args()
    report = Report("idle", asked.seed)
    with tempfile.TemporaryDirectory(prefix="aidb-idle-") as directory:
        folder = Path(directory)
        (folder / "policy.json").write_text(json.dumps(POLICY))
        log = folder / "audit.log"
        try:
            server = programs.start(
                folder / "server",
                *(f"--audit-policy-file={folder / 'policy.json'}", f"--audit-log-path={log}"),
                *("--audit-log-mode=blocking", "--audit-log-maxsize=1000"),
            )
        except programs.Missing as missing:
            print(missing, file=sys.stderr)
            return 2
        try:
            server.apply_crds()
            (folder / "pods").mkdir()
            one_cluster(server, log, folder / "pods", asked, report)
        finally:
            server.stop()
    print(report.last_line())
    return report.exit_code(2)


if __name__ == "__main__":
    sys.exit(main())
