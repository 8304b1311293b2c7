"""`kubectl aidb ...`: the commands. `-o json` prints one document whose fields are only ever added to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from aidb.cli.parameters import Format, Output, duration
from aidb_operator.kubectl import complete
from aidb_operator.kubectl.place import Place, place
from aidb_operator.kubernetes import kinds

app = typer.Typer(
    help="AiDb clusters in Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Cluster = Annotated[
    str | None,
    typer.Argument(
        metavar="[CLUSTER]", help="an AidbCluster; the namespace's only one", autocompletion=complete.clusters
    ),
]
Shard = Annotated[int | None, typer.Option("--shard", min=0, max=65534, help="of that one alone")]
Shards = Annotated[
    list[int] | None, typer.Option("--shard", min=0, max=65534, help="several times for several; all")
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="until it has come to its end")]
Timeout = Annotated[float, typer.Option("--timeout", parser=duration, metavar="TIME", help="of the wait")]
Tail = Annotated[int, typer.Option("--tail", min=1, max=100_000, help="lines of each pod")]
# A backup's deadline, in seconds.
_LEAST, _MOST = 10, 604_800


class Component(StrEnum):
    """``--component``."""

    PRIMARY = "primary"
    REPLICA = "replica"
    ROUTER = "router"
    COORDINATOR = "coordinator"


@app.callback()
def where(
    context: typer.Context,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="that of the context")] = None,
    kubeconfig: Annotated[
        str | None, typer.Option("--kubeconfig", metavar="FILE", help="$KUBECONFIG, ~/.kube/config")
    ] = None,
    chosen: Annotated[str | None, typer.Option("--context", help="of the kubeconfig; the current")] = None,
) -> None:
    """AiDb clusters in Kubernetes."""
    context.obj = (kubeconfig, chosen, namespace)


def _place(context: typer.Context) -> Place:
    """Raises Failure."""
    return place(*context.obj)


@app.command()
def status(context: typer.Context, cluster: Cluster = None, output: Format = Output.TABLE) -> None:
    """Conditions, shards, backups and restores."""
    from aidb_operator.kubectl.status import status as run

    run(_place(context), cluster, output)


@app.command()
def backup(
    context: typer.Context,
    cluster: Cluster = None,
    name: Annotated[str | None, typer.Option("--name", help="of the AidbBackup; one is chosen")] = None,
    retain: Annotated[bool, typer.Option("--retain", help="its snapshots outlive the AidbBackup")] = False,
    wait: Wait = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Takes a snapshot of every shard, and keeps it (AidbBackup)."""
    from aidb_operator.kubectl.waiting import follow, make

    there = _place(context)
    own = there.cluster(cluster)["metadata"]["name"]
    spec: dict[str, Any] = {"cluster": own, "deadlineSeconds": min(_MOST, max(_LEAST, int(timeout)))}
    if retain:
        spec["deletionPolicy"] = "Retain"
    made = make(there, kinds.BACKUP, name, own, spec)
    follow(there, kinds.BACKUP, made, output, wait=wait, timeout=timeout)


@app.command()
def restore(
    context: typer.Context,
    cluster: Cluster = None,
    from_backup: Annotated[str | None, typer.Option("--backup", help="to that AidbBackup's time")] = None,
    to_time: Annotated[
        str | None, typer.Option("--to-time", metavar="TIME", help="as in 2026-01-31T12:00:00Z")
    ] = None,
    to_lsn: Annotated[int | None, typer.Option("--to-lsn", min=1, help="of one --shard")] = None,
    shard: Shards = None,
    wait: Wait = True,
    timeout: Timeout = 3600.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    output: Format = Output.TABLE,
) -> None:
    """The cluster, or some shards, go back (AidbRestore): what they have now is given up.

    Without a target they get the newest that the object store has. A new cluster begins with a backup by
    spec.bootstrap.recovery of its AidbCluster.
    """
    from aidb_operator.kubectl.waiting import follow, make

    there = _place(context)
    own = there.cluster(cluster)["metadata"]["name"]
    what = f"shards {', '.join(map(str, shard))}" if shard else "all shards"
    if not yes:
        _ask(f"{what} of {own} go back, and clients are without them meanwhile. Go on?")
    given = {"backup": from_backup, "time": to_time, "lsn": to_lsn, "shards": shard}
    spec = {"cluster": own} | {field: value for field, value in given.items() if value}
    made = make(there, kinds.RESTORE, None, own, spec)
    follow(there, kinds.RESTORE, made, output, wait=wait, timeout=timeout)


@app.command()
def promote(
    context: typer.Context,
    shard: Annotated[int, typer.Option("--shard", min=0, max=65534, help="which")],
    cluster: Cluster = None,
    lost: Annotated[
        bool, typer.Option("--lost", help="the primary is gone: do without it, from the object store")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    """Gives a shard a new primary on another volume: a hand-over, which loses nothing, or a takeover."""
    from aidb_operator.kubectl.promote import promote as run

    run(_place(context), cluster, shard, output, planned=not lost)


@app.command()
def fence(
    context: typer.Context, cluster: Cluster = None, shard: Shards = None, output: Format = Output.TABLE
) -> None:
    """Stops the primaries of shards, and keeps others from taking over."""
    from aidb_operator.kubectl.wishes import fence as run

    run(_place(context), cluster, shard or [], output, on=True)


@app.command()
def unfence(
    context: typer.Context, cluster: Cluster = None, shard: Shards = None, output: Format = Output.TABLE
) -> None:
    """Lets the primaries of fenced shards start again."""
    from aidb_operator.kubectl.wishes import fence as run

    run(_place(context), cluster, shard or [], output, on=False)


@app.command()
def hibernate(context: typer.Context, cluster: Cluster = None, output: Format = Output.TABLE) -> None:
    """Stops all pods; the data stays."""
    from aidb_operator.kubectl.wishes import hibernate as run

    run(_place(context), cluster, output, asleep=True)


@app.command()
def resume(context: typer.Context, cluster: Cluster = None, output: Format = Output.TABLE) -> None:
    """Starts a hibernated cluster."""
    from aidb_operator.kubectl.wishes import hibernate as run

    run(_place(context), cluster, output, asleep=False)


@app.command()
def pause(context: typer.Context, cluster: Cluster = None, output: Format = Output.TABLE) -> None:
    """The operator changes nothing of it any more."""
    from aidb_operator.kubectl.wishes import pause as run

    run(_place(context), cluster, output, paused=True)


@app.command()
def unpause(context: typer.Context, cluster: Cluster = None, output: Format = Output.TABLE) -> None:
    """The operator looks after it again."""
    from aidb_operator.kubectl.wishes import pause as run

    run(_place(context), cluster, output, paused=False)


@app.command()
def scale(
    context: typer.Context,
    cluster: Cluster = None,
    shards: Annotated[int | None, typer.Option("--shards", min=1, help="of the cluster")] = None,
    replicas: Annotated[int | None, typer.Option("--replicas", min=0, help="of each shard")] = None,
    routers: Annotated[int | None, typer.Option("--routers", min=0, help="of the cluster")] = None,
    shard: Shard = None,
    output: Format = Output.TABLE,
) -> None:
    """How many shards, cache replicas and routers there are to be."""
    from aidb_operator.kubectl.wishes import scale as run

    counts = {"shards": shards, "replicas": replicas, "routers": routers}
    run(_place(context), cluster, output, counts, shard)


@app.command()
def logs(
    context: typer.Context,
    cluster: Cluster = None,
    shard: Shard = None,
    component: Annotated[Component | None, typer.Option("--component", help="only pods of that kind")] = None,
    tail: Tail = 100,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on with what comes")] = False,
    previous: Annotated[bool, typer.Option("-p", "--previous", help="of the container before")] = False,
) -> None:
    """The logs of all pods of a cluster, or of a shard, each line behind its pod's name."""
    from aidb_operator.kubectl.logs import logs as run
    from aidb_operator.kubectl.logs import pods

    there = _place(context)
    own = there.cluster(cluster)["metadata"]["name"]
    found = pods(there, own, shard, component.value if component else None)
    run(there, found, tail=tail, follow=follow, previous=previous)


@app.command()
def report(
    context: typer.Context,
    cluster: Cluster = None,
    into: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="aidb-report-CLUSTER-TIME.tar.gz")
    ] = None,
    tail: Tail = 2000,
    output: Format = Output.TABLE,
) -> None:
    """Objects, events, logs and what the coordinator knows, in one archive, without secrets."""
    from aidb_operator.kubectl.report import report as run

    run(_place(context), cluster, into, output, tail=tail)


def _ask(question: str) -> None:
    """Raises Failure unless it is confirmed."""
    from aidb.cli.exits import Exit, Failure

    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort as error:
        raise Failure("nobody is there to be asked: say --yes", Exit.BAD_INPUT) from error
    if not confirmed:
        raise Failure("nothing was done", Exit.BAD_INPUT)
