"""The commands and their parameters. Their work is imported when they run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aidb.admin import looking, shaping
from aidb.cli.parameters import Address, Data, FileFormat, Format, Output, Timeout, duration

app = typer.Typer(
    help="Backups and recovery; the files of a store: a look into them, repair; tokens and certificates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

shaping.add_to(app)
looking.add_to(app)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")]
Store = Annotated[Path, typer.Argument(exists=True, file_okay=False, metavar="DIR")]
Entries = Annotated[bool, typer.Option("--entries/--no-entries", help="print every entry")]


@app.command("dump-sst")
def dump_sst(file: File, output: Format = Output.TABLE, entries: Entries = True) -> None:
    """Print a table: entries, blocks, properties. What is damaged is named; exit code 1."""
    from aidb.admin.dump import sst

    raise typer.Exit(sst(file, output, entries=entries))


@app.command("dump-log")
def dump_log(file: File, output: Format = Output.TABLE) -> None:
    """Print the records of a segment of the log, up to damage; exit code 1 if there is any."""
    from aidb.admin.dump import log

    raise typer.Exit(log(file, output))


@app.command("dump-manifest")
def dump_manifest(file: File, output: Format = Output.TABLE) -> None:
    """Print the edits of a manifest: which tables make up the store. Exit code 1 if it is damaged."""
    from aidb.admin.dump import manifest

    raise typer.Exit(manifest(file, output))


@app.command("verify-store")
def verify_store(store: Store, output: Format = Output.TABLE) -> None:
    """Read everything in a store that is not open, and say what is damaged. Exit code 1 if anything is."""
    from aidb.admin.repair import verify

    raise typer.Exit(verify(store, output))


@app.command("repair-store")
def repair_store(
    store: Store,
    output: Format = Output.TABLE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Make a damaged store open again. What is replaced is kept in its directory lost/."""
    from aidb.admin.repair import repair

    raise typer.Exit(repair(store, output, dry_run=dry_run, yes=yes))


Objects = Annotated[
    str | None,
    typer.Option(
        "--objects",
        metavar="URL",
        help="the object store  [default: that of the local cluster in --data]",
        show_default=False,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="UID", help="whose objects, where the store has several clusters'"),
]
Shard = Annotated[int | None, typer.Option("--shard", min=0, max=65534, help="of one shard only")]
AtOnce = Annotated[int, typer.Option("--parallel", min=1, max=64, help="objects at a time")]
DEFAULT_DATA = Path(".aidb")


@app.command()
def backup(
    address: Address = None,
    shard: Shard = None,
    name: Annotated[str, typer.Option(help="kept with the snapshot, for people")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when it is taken")] = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Take a snapshot of every shard, or of one, into the object store."""
    from aidb.admin.backup import backup as run

    raise typer.Exit(run(address, shard, name, output, wait=wait, timeout=timeout))


@app.command()
def backups(
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    output: Format = Output.TABLE,
) -> None:
    """List the snapshots in the object store, and how far the archive of the log goes."""
    from aidb.admin.backups import backups as run
    from aidb.admin.places import Where

    raise typer.Exit(run(Where(objects, cluster, data), shard, output))


@app.command()
def recover(
    shard: Annotated[
        int | None,
        typer.Option(
            "--shard",
            min=0,
            max=65534,
            help="one shard  [default: all, and the topology, of the local cluster in --data]",
            show_default=False,
        ),
    ] = None,
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            file_okay=False,
            metavar="DIR",
            help="where to  [default: back into the local cluster in --data, which must be down]",
            show_default=False,
        ),
    ] = None,
    to_lsn: Annotated[int | None, typer.Option("--to-lsn", min=0, help="the state after this LSN")] = None,
    to_time: Annotated[
        str | None,
        typer.Option(
            "--to-time", metavar="TIME", help="the state then: 2026-01-31T12:00:00Z, or ms since 1970"
        ),
    ] = None,
    snapshot: Annotated[str, typer.Option("--snapshot", help="begin from this one")] = "",
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="stop where the log is damaged, and take what is before")
    ] = False,
    parallel: AtOnce = 8,
    shards_at_once: Annotated[
        int, typer.Option("--shards-at-once", min=1, max=64, help="of a whole cluster")
    ] = 4,
    output: Format = Output.TABLE,
) -> None:
    """Restore a shard, or a whole cluster that is down: the newest state, or that of an LSN (of one shard) or
    a time. Damage stops it, and the loss is named. What was there before is kept aside.
    """
    from aidb.admin.places import Where
    from aidb.admin.recover import recover as run
    from aidb.admin.recover import target_of
    from aidb.cli.exits import Exit, Failure

    where, target = Where(objects, cluster, data), target_of(to_lsn, to_time)
    if shard is None:
        from aidb.admin.recover_cluster import recover_cluster

        if into or snapshot:
            raise Failure("--into and --snapshot are for one shard: give --shard", Exit.BAD_INPUT)
        raise typer.Exit(
            recover_cluster(
                where,
                target,
                output,
                at_once=parallel,
                shards_at_once=shards_at_once,
                accept_loss=accept_loss,
            )
        )
    raise typer.Exit(
        run(where, shard, into, target, output, label=snapshot, at_once=parallel, accept_loss=accept_loss)
    )


OneShard = Annotated[int, typer.Option("--shard", min=0, max=65534)]
Reason = Annotated[str, typer.Option(help="kept with the wish, for people")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="return when it serves")]


@app.command("hand-over")
def hand_over(
    shard: OneShard,
    address: Address = None,
    reason: Reason = "asked for",
    wait: Wait = True,
    cancel: Annotated[bool, typer.Option("--cancel", help="not any more, if it has not begun")] = False,
    timeout: Timeout = 600.0,
    output: Format = Output.TABLE,
) -> None:
    """Move a shard's primary to a new incarnation, with a directory of its own. Loses nothing, in any
    mode.
    """
    from aidb.admin import succession

    if cancel:
        raise typer.Exit(succession.cancel(address, shard, output))
    raise typer.Exit(
        succession.succeed(address, shard, output, planned=True, wait=wait, timeout=timeout, reason=reason)
    )


class Mode(StrEnum):
    """Of the autoscaler."""

    OFF = "off"
    RECOMMEND = "recommend"
    ON = "on"


@app.command()
def autoscale(
    mode: Annotated[
        Mode | None, typer.Option("--mode", help="off, recommend (only say), on (carry out)")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="as in shards.limits.most=5; may be repeated"),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="NAME", help="back to the default; may be repeated")
    ] = None,
    settings: Annotated[bool, typer.Option("--settings", help="print what decisions go by")] = False,
    recommend: Annotated[
        bool, typer.Option("--recommend", hidden=True, help="as without options, for older scripts")
    ] = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """How many shards and replicas there should be by load, size and hit ratio, why, and what was begun of
    late; or set what the autoscaler does. What is set outlives restarts.
    """
    from aidb.admin import autoscale as command

    changes = mode is not None or set_ or unset
    if changes and (settings or recommend):
        raise typer.BadParameter("set something, or look at something: not both")
    if changes:
        chosen = None if mode is None else mode.value
        raise typer.Exit(command.configure(address, chosen, set_ or [], unset or [], output, timeout))
    raise typer.Exit(command.show(address, output, timeout, settings=settings))


@app.command("take-over")
def take_over(
    shard: OneShard,
    address: Address = None,
    reason: Reason = "asked for",
    wait: Wait = True,
    cancel: Annotated[bool, typer.Option("--cancel", help="not any more, if it has not begun")] = False,
    timeout: Timeout = 600.0,
    output: Format = Output.TABLE,
) -> None:
    """Replace a primary that is gone by a new incarnation, from the object store. In mode async what was not
    archived is lost; the old directory is kept.
    """
    from aidb.admin import succession

    if cancel:
        raise typer.Exit(succession.cancel(address, shard, output))
    raise typer.Exit(
        succession.succeed(address, shard, output, planned=False, wait=wait, timeout=timeout, reason=reason)
    )


@app.command()
def restore(
    address: Address = None,
    shard: Annotated[
        list[int] | None,
        typer.Option("--shard", min=0, max=65534, help="several times for several; the whole cluster"),
    ] = None,
    to_lsn: Annotated[int | None, typer.Option("--to-lsn", min=1, help="of one --shard")] = None,
    to_time: Annotated[
        str | None, typer.Option("--to-time", metavar="TIME", help="as in 2026-01-31T12:00:00Z; the newest")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="what they have now is given up")] = False,
    wait: Wait = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """A cluster that runs goes back, or some of its shards: new incarnations restore themselves from the
    object store. The old directories are kept. All of them serve in the end, or none.
    """
    from aidb.admin.recover import target_of
    from aidb.admin.restore import restore as run
    from aidb.cli.exits import Exit, Failure

    if not yes:
        raise Failure("nothing was done: say --yes, what they have now is given up", Exit.BAD_INPUT)
    target = target_of(to_lsn, to_time)
    raise typer.Exit(run(address, shard or [], target, output, wait=wait, timeout=timeout))


ToShard = Annotated[int, typer.Option("--to", min=0, max=65534, help="the shard that gets them")]
FromShard = Annotated[int | None, typer.Option("--from", min=0, max=65534, help="the shard that has them")]


@app.command("move-slots")
def move_slots(
    to: ToShard,
    slots: Annotated[str | None, typer.Option(help="such as 0-99,200")] = None,
    count: Annotated[int, typer.Option(min=0, help="so many, the last ones of --from")] = 0,
    source: FromShard = None,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when they have moved")] = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Move slots to another shard while clients read and write them. Exit code 1 if a move does not end
    well.
    """
    from aidb.admin.moves import move_slots as run

    raise typer.Exit(
        run(address, slots, count, source, to, output, dry_run=dry_run, wait=wait, timeout=timeout)
    )


@app.command()
def isolate(
    slot: Annotated[int | None, typer.Option("--slot", min=0, max=16_383, help="which")] = None,
    key: Annotated[str | None, typer.Option("--key", help="the slot of this key")] = None,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when they have moved")] = True,
    timeout: Timeout = 3600.0,
    output: Format = Output.TABLE,
) -> None:
    """Leave a hot slot (`aidb status` names them) alone on its shard: the others there move to other shards,
    by what is asked of them. Exit code 1 if a move does not end well.
    """
    from aidb.admin.isolate import isolate as run

    if (slot is None) == (key is None):
        raise typer.BadParameter("name a slot by --slot, or by --key")
    raise typer.Exit(run(address, slot, key, output, dry_run=dry_run, wait=wait, timeout=timeout))


@app.command()
def verify(
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    parallel: AtOnce = 8,
    output: Format = Output.TABLE,
) -> None:
    """Read every object that a restore may need and check it. Exit code 1 if anything is damaged."""
    from aidb.admin.backups import verify as run
    from aidb.admin.places import Where

    raise typer.Exit(run(Where(objects, cluster, data), shard, output, at_once=parallel))


@app.command()
def drill(
    address: Address = None,
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="where the copy is made, which goes afterwards  [default: the system's temporary directory]",
            show_default=False,
        ),
    ] = None,
    parallel: AtOnce = 8,
    timeout: Timeout = 60.0,
    output: Format = Output.TABLE,
) -> None:
    """Restore the newest state of every shard, or of one, to scratch, and compare it with the primary at one
    LSN, key by key. Exit code 1 if anything differs. To be run where the primaries are.
    """
    from aidb.admin.drill import drill as run
    from aidb.admin.places import Where

    where = Where(objects, cluster, data)
    raise typer.Exit(run(where, address, shard, scratch, output, at_once=parallel, timeout=timeout))


@app.command()
def salvage(
    directory: Annotated[
        Path,
        typer.Argument(
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="a primary's data directory, or a store in it that a restore kept aside",
        ),
    ],
    address: Address = None,
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="write what is not newer in the cluster")
    ] = False,
    only_existing: Annotated[
        bool,
        typer.Option(
            "--only-existing",
            help="leave out keys that the cluster does not have: they may have been deleted",
        ),
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", dir_okay=False, metavar="FILE", help="write the records there")
    ] = None,
    format: Annotated[FileFormat, typer.Option("--format", help="of --export")] = FileFormat.JSONL,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Show what a disk that was kept aside has beyond the epoch that superseded it, and re-apply it. Nothing
    that is newer in the cluster is touched; nothing on the disk is changed.
    """
    from aidb.admin.salvage import salvage as run

    raise typer.Exit(
        run(
            directory,
            address,
            output,
            apply=apply,
            only_existing=only_existing,
            export=export,
            format=format.value,
            timeout=timeout,
        )
    )


@app.command()
def retention(
    objects: Objects = None,
    cluster: Cluster = None,
    data: Data = DEFAULT_DATA,
    shard: Shard = None,
    keep: Annotated[int, typer.Option(min=1, help="snapshots to keep at least")] = 24,
    keep_days: Annotated[float, typer.Option(min=0, help="and all that are younger")] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be deleted")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="delete")] = False,
    output: Format = Output.TABLE,
) -> None:
    """Delete old snapshots, and what no snapshot needs any more. Primaries do so after each snapshot."""
    from aidb.admin.backups import retention as run
    from aidb.admin.places import Where
    from aidb.durability.retention_plan import Policy

    where = Where(objects, cluster, data)
    raise typer.Exit(run(where, shard, output, Policy(keep, keep_days), dry_run=dry_run, yes=yes))


tokens = typer.Typer(help="Bearer tokens: who may call what.", no_args_is_help=True)
certificates = typer.Typer(help="Certificates of a local cluster.", no_args_is_help=True)
app.add_typer(tokens, name="tokens")
app.add_typer(certificates, name="certificates")


class Role(StrEnum):
    """``--role``; each may do what those before it may."""

    MONITOR = "monitor"
    READ_ONLY = "read-only"
    READ_WRITE = "read-write"
    ADMIN = "admin"


TokenName = Annotated[str, typer.Argument(help="whose it is, in words of your choice", metavar="NAME")]
TokensFile = Annotated[
    Path | None,
    typer.Option(
        "--file", help="the file of tokens (that of the local cluster)", metavar="FILE", show_default=False
    ),
]


@tokens.command("create")
def tokens_create(
    name: TokenName,
    role: Annotated[Role, typer.Option(help="what it allows")],
    expires: Annotated[
        float | None, typer.Option(help="good for so long (for ever)", parser=duration, metavar="DURATION")
    ] = None,
    file: TokensFile = None,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    from aidb.admin.tokens import create

    create(file, name, role.value, expires)


@tokens.command("list")
def tokens_list(file: TokensFile = None, output: Format = Output.TABLE) -> None:
    """Print the tokens' names, roles and expiries."""
    from aidb.admin.tokens import list_

    list_(file, as_json=output is Output.JSON)


@tokens.command("revoke")
def tokens_revoke(name: TokenName, file: TokensFile = None) -> None:
    """Take a token away. Programs refuse it within seconds."""
    from aidb.admin.tokens import revoke

    revoke(file, name)


@certificates.command("renew")
def certificates_renew(
    data: Data = Path(".aidb"),
    authority: Annotated[
        bool,
        typer.Option("--authority", help="make one more authority, which signs from the next renewal on"),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="trust no authority but the newest any more")
    ] = False,
) -> None:
    """Replace all certificates of a local cluster while it runs."""
    from aidb.admin.certificates import renew

    renew(data, authority=authority, forget=forget)
