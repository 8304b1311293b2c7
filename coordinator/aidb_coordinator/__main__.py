"""`python -m aidb_coordinator`: reads its settings, serves until SIGTERM or SIGINT.

Exit codes: 0 stopped cleanly, 1 failed while running, 2 cannot start as asked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aidb import logs
from aidb.metrics import MetricsAddressError
from aidb.security.server import SecurityRefused, add_arguments
from aidb.tracing.provider import close, provider_of
from aidb.tracing.serving import SERVING
from aidb_coordinator.service.server import AddressInUse, Server
from aidb_coordinator.settings import DURABILITIES, Settings, SettingsError
from aidb_coordinator.store import StoreError

PROGRAM = "aidb-coordinator"
FLUSH_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    values = vars(options)
    as_json = values["log_format"] == "json"
    member = options.identity or "coordinator"
    logs.set_up(
        PROGRAM, values.pop("log_format"), values.pop("log_level"), member=member, cluster=options.cluster_uid
    )
    traces = provider_of(PROGRAM, service_instance_id=member)
    SERVING.begin(traces)
    try:
        return asyncio.run(_serve(Settings(**values), as_json))
    except (SettingsError, AddressInUse, MetricsAddressError, SecurityRefused) as error:
        logs.cannot_start(PROGRAM, error, json=as_json)
        return 2
    finally:
        if traces is not None:
            close(traces, FLUSH_SECONDS)


async def _serve(settings: Settings, as_json: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        if settings.store == "kubernetes":
            return await _stand(settings, stop)
        server = Server(settings)
        await server.start()
    except StoreError as error:
        logs.cannot_start(PROGRAM, error, json=as_json)
        return 2
    _announce(server)
    failed = asyncio.create_task(server.wait())
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((failed, asked), return_when=asyncio.FIRST_COMPLETED)
    await server.stop()
    asked.cancel()
    if not failed.done():
        failed.cancel()
        return 0
    logs.cannot_start(PROGRAM, failed.exception(), json=as_json)
    return 1


async def _stand(settings: Settings, stop: asyncio.Event) -> int:
    """As one of several coordinators. Raises StoreError, SettingsError, AddressInUse."""
    try:
        # Imported here: only who keeps things there needs that client.
        from aidb_coordinator.kubernetes.api import Api, NotConfigured
        from aidb_coordinator.service.candidate import Candidate
    except ModuleNotFoundError as error:
        raise SettingsError(f"--store kubernetes: {error}; pip install 'aidb[kubernetes]'") from error
    try:
        api = Api.configured()
    except NotConfigured as error:
        raise SettingsError(str(error)) from error
    try:
        await Candidate(settings, api, _announce).run(stop)
    finally:
        api.close()
    return 0


def _announce(server: Server) -> None:
    """The line on stdout that starters wait for; one among others writes it each time that it leads."""
    ready = {
        "ready": True,
        "role": "coordinator",
        "name": "coordinator",
        "address": server.address,
        "pid": os.getpid(),
    }
    print(json.dumps(ready), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="The coordinator of an AiDb cluster.")
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="its own directory: topology and events")
    add("--listen", required=True, metavar="HOST:PORT", help="port 0 picks a free one")
    add("--metrics", default="", metavar="HOST:PORT", help="serve /metrics there (nowhere)")
    add_arguments(add)
    add("--shards", type=int, metavar="N", help="of a new cluster (3); an existing one has what it has")
    add(
        "--durability",
        choices=DURABILITIES,
        help="what acknowledgements wait for; it stays until another is given (async)",
    )
    add(
        "--tail-same-node",
        action="store_true",
        help="members of a tail set may be on the primary's node: for clusters of one machine",
    )
    add(
        "--cluster-uid",
        default="",
        metavar="UID",
        help="of a new cluster (random); an existing one must have it",
    )
    defaults = Settings.__dataclass_fields__
    for name, unit, text in (
        ("lease_ms", "MS", "T: how long a primary may serve without a renewed lease"),
        ("heartbeat_ms", "MS", "how often members report"),
        ("heartbeat_timeout_ms", "MS", "silence after which a member is failed"),
        ("probe_period_ms", "MS", "time between health probes of a member"),
        ("probe_timeout_ms", "MS", "time that a probe may take"),
        ("probe_failures", "N", "bad probes in a row that fail a member"),
        ("probe_successes", "N", "good probes in a row that end that"),
        ("clock_bound_ms", "MS", "how far clocks may differ"),
        ("max_watchers", "N", "open topology watches"),
        ("moves_per_shard", "N", "slot moves that a shard sends or takes at a time"),
        ("moves_at_once", "N", "slot moves of all shards at a time, 0 = no limit besides"),
        ("replicas", "N", "of a shard that an operation adds, with --provisioner"),
        ("max_shards", "N", "that operations may make of the cluster"),
    ):
        default = defaults[name].default
        add(
            f"--{name.replace('_', '-')}", type=int, default=default, metavar=unit, help=f"{text} ({default})"
        )
    add(
        "--grace-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="for requests in flight when it stops (10)",
    )
    add(
        "--objects",
        default="",
        metavar="URL",
        help="the primaries' store: has the topology's history; shards are taken over from it (none)",
    )
    add(
        "--takeover",
        choices=("on", "off"),
        default="on",
        help="of a shard whose primary stays gone, by another incarnation, from the object store (on)",
    )
    add(
        "--takeover-grace",
        type=float,
        default=defaults["takeover_grace"].default,
        metavar="S",
        help="so long a primary may restart in place, which loses nothing (30)",
    )
    add(
        "--fence-seconds",
        type=float,
        default=defaults["fence_seconds"].default,
        metavar="S",
        help="a slot move that has not drained in that time after its fence is aborted (10)",
    )
    add(
        "--provisioner",
        choices=("none", "local", "kubernetes"),
        default="none",
        help="who starts and stops programs for operations: nobody, the supervisor of aidb up, or the "
        "operator (none)",
    )
    add(
        "--store",
        choices=("file", "kubernetes"),
        default="file",
        help="where topology and operations are: in --data, or in ConfigMaps for several coordinators (file)",
    )
    add("--namespace", default="", metavar="NAME", help="of the ConfigMaps and the Lease")
    add("--cluster-name", default="", metavar="NAME", help="that theirs begin with")
    add("--identity", default="", metavar="NAME", help="who this is among the coordinators: its pod's name")
    add(
        "--leader-lease",
        type=int,
        default=defaults["leader_lease"].default,
        metavar="SECONDS",
        help="after a leader's silence for so long another coordinator leads (15)",
    )
    add("--same-machine", action="store_true", help="all members run here: a process that is gone is dead")
    add("--adopt", action="store_true", help="begin anew although the store has objects of this cluster")
    add(
        "--recover-from",
        default="",
        metavar="URL",
        help="a new cluster begins with what another one has in this object store (nothing)",
    )
    add("--recover-uid", default="", metavar="UID", help="of that cluster (the only one there)")
    add(
        "--recover-time",
        type=int,
        default=0,
        metavar="MS",
        help="as it was then, in ms since 1970 (the newest)",
    )
    add(
        "--autoscale",
        choices=("off", "recommend"),
        default="recommend",
        help="ask members for their figures, and say how many there should be (recommend)",
    )
    add("--autoscale-interval", type=float, default=15.0, metavar="S", help="between two samples (15)")
    add("--member-cores", type=float, default=2.0, metavar="N", help="that a member may use (2)")
    logs.add_arguments(add)
    return parser


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
