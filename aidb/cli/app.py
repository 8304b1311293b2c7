"""The commands and their parameters. Their work is imported when they run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import (
    Address,
    Base64,
    Data,
    Durability,
    FileFormat,
    Format,
    Key,
    Output,
    Sync,
    Timeout,
    duration,
)

app = typer.Typer(
    help="AiDb: an elastic key-value cluster. Start one with 'aidb up'.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEFAULT_DATA = Path(".aidb")


@app.callback()
def connecting(
    tls: Annotated[
        Path | None,
        typer.Option(help="ca.crt, tls.crt, tls.key for a secured cluster", metavar="DIR", envvar="AIDB_TLS"),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="with the bearer token", metavar="FILE", envvar="AIDB_TOKEN_FILE"),
    ] = None,
    direct: Annotated[
        bool | None,
        typer.Option(
            "--direct/--no-direct",
            help="whether data commands ask the cluster's members themselves, or only the address given, "
            "which has to be a router's (through a port-forward)",
            envvar="AIDB_DIRECT",
            show_default="direct",
        ),
    ] = None,
) -> None:
    """What commands connect with; of a local cluster they find it themselves."""
    if direct is not None:
        os.environ["AIDB_DIRECT"] = str(int(direct))
    for name, given in (("AIDB_TLS", tls), ("AIDB_TOKEN_FILE", token_file)):
        if given is not None:
            os.environ[name] = str(given)


@app.command()
def up(
    data: Data = DEFAULT_DATA,
    shards: Annotated[int | None, typer.Option(help="shards of a new cluster (3)")] = None,
    replicas: Annotated[int | None, typer.Option(help="cache replicas of each shard (2)")] = None,
    port: Annotated[
        int | None, typer.Option(help="first port of a new cluster (7400); 0 = free ports")
    ] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="data is deleted when it stops")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="return when the cluster is ready")] = False,
    sync: Annotated[
        Sync | None, typer.Option(help="what a write waits for: group = disk, interval, none (group)")
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(
            help="object store of the second copy: file:///dir, s3://bucket/prefix?..., or none "
            "(DATA/objects; none with --ephemeral)",
            metavar="URL",
        ),
    ] = None,
    durability: Annotated[
        Durability | None,
        typer.Option(help="what writes wait for besides a disk: async = nothing, replica, archived (async)"),
    ] = None,
    secure: Annotated[
        bool, typer.Option("--secure", help="a new cluster with TLS and tokens, made below its directory")
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="how long it may take to get ready", parser=duration, metavar="DURATION")
    ] = 60.0,
) -> None:
    """Start a local cluster; what of it runs already is kept. Ctrl-C stops it, unless --detach."""
    from aidb.cli.up import up as run
    from aidb.local import Refused, Wish

    if ephemeral and data != DEFAULT_DATA:
        raise Refused("--ephemeral makes its own directory: leave --data (and $AIDB_DATA) out")
    chosen = None if sync is None else sync.value
    mode = None if durability is None else durability.value
    wish = Wish(shards, replicas, port, chosen, ephemeral, objects=objects, secure=secure, durability=mode)
    run(data, wish, detach=detach, timeout=timeout)


@app.command()
def down(data: Data = DEFAULT_DATA) -> None:
    """Stop the local cluster in the data directory. The data stays."""
    from aidb.cli.up import down as run

    run(data)


@app.command()
def status(address: Address = None, timeout: Timeout = 5.0, output: Format = Output.TABLE) -> None:
    """Show shards, members, the coordinator."""
    from aidb.cli.status import status as run

    run(address, timeout, output is Output.JSON)


@app.command()
def top(
    address: Address = None,
    every: Annotated[
        float, typer.Option(help="between two looks", parser=duration, metavar="DURATION")
    ] = 1.0,
    timeout: Timeout = 2.0,
    once: Annotated[bool, typer.Option("--once", help="look twice, print, and end")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="look twice, write the screen as SVG, and end", metavar="FILE")
    ] = None,
) -> None:
    """Watch the cluster live: health, shards, throughput, latency, moves and backups, hot slots."""
    from aidb.cli.top.run import top as run

    run(address, every, timeout, once, picture)


@app.command()
def events(
    address: Address = None,
    timeout: Timeout = 5.0,
    output: Format = Output.TABLE,
    after: Annotated[int, typer.Option(help="only events after this number", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="how many at most", min=1, max=1000)] = 100,
) -> None:
    """Show what happened to the cluster's members: failures, recoveries, refusals."""
    from aidb.cli.events import events as run

    run(address, timeout, after, limit, output is Output.JSON)


@app.command()
def get(
    key: Key,
    base64: Base64 = False,
    strong: Annotated[bool, typer.Option("--strong", help="from the primary, past all caches")] = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Print a key's value, byte for byte. Exit code 3: there is no such key."""
    from aidb.cli.keys import get as run

    run(key, base64, strong, address, timeout, output is Output.JSON)


@app.command()
def put(
    key: Key,
    value: Annotated[str | None, typer.Argument(help="the value; without it, standard input")] = None,
    file: Annotated[
        Path | None, typer.Option(help="take the value from a file", metavar="FILE", show_default=False)
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(help="expires after", parser=duration, metavar="DURATION")
    ] = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="only if there is no such key")] = False,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="only if there is such a key")] = False,
    if_version: Annotated[int | None, typer.Option(help="only over this version", min=1)] = None,
    base64: Base64 = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Write a value: VALUE, --file FILE or standard input. Exit code 4: the condition does not hold."""
    from aidb.cli.keys import put as run
    from aidb.interface import Condition

    condition = Condition.of(if_absent, if_exists, if_version)
    run(key, base64, value, file, ttl, condition, address, timeout, output is Output.JSON)


@app.command()
def delete(
    key: Key,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="only if there is such a key")] = False,
    if_version: Annotated[int | None, typer.Option(help="only this version", min=1)] = None,
    base64: Base64 = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Remove a key, which need not exist. Exit code 4: the condition does not hold."""
    from aidb.cli.keys import delete as run
    from aidb.interface import Condition

    condition = Condition.of(False, if_exists, if_version)
    run(key, base64, condition, address, timeout, output is Output.JSON)


@app.command()
def scan(
    prefix: Annotated[str, typer.Option(help="keys that begin with")] = "",
    start: Annotated[str, typer.Option(help="keys from this on")] = "",
    end: Annotated[str, typer.Option(help="keys before this")] = "",
    limit: Annotated[int | None, typer.Option(help="how many at most", min=1)] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="backwards")] = False,
    keys_only: Annotated[bool, typer.Option("--keys-only", help="no values")] = False,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="in key order, not slot by slot: reads the range first")
    ] = False,
    address: Address = None,
    timeout: Timeout = 10.0,
    output: Format = Output.TABLE,
) -> None:
    """Print keys and values."""
    from aidb.cli.keys import ScanRange
    from aidb.cli.keys import scan as run

    run(
        ScanRange.of(prefix, start, end, limit, reverse, keys_only, ordered),
        address,
        timeout,
        output is Output.JSON,
    )


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="a file, or - for standard input", metavar="FILE")],
    format: Annotated[FileFormat, typer.Option(help="of the file")] = FileFormat.JSONL,
    key: Annotated[
        str | None,
        typer.Option(
            help="the field that is the key; the value is the whole record (deb822: Package; jsonl: pairs)",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="records sent together", min=1, max=100_000)] = 2000,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first rejected record")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="write rejected records' lines and reasons here", metavar="FILE", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on where an interrupted import of FILE stopped")
    ] = False,
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Load a file of records. Exit code 6: done, but some records were rejected."""
    from aidb.cli.importing import Request
    from aidb.cli.importing import import_file as run

    request = Request(file, format.value, key, batch, strict, rejects, resume)
    run(request, address, timeout, output is Output.JSON)


@app.command()
def export(
    file: Annotated[str, typer.Argument(help="a file, or - for standard output", metavar="FILE")],
    format: Annotated[FileFormat, typer.Option(help="of the file")] = FileFormat.JSONL,
    key: Annotated[
        str | None,
        typer.Option(help="jsonl: write records that were imported with --key", show_default=False),
    ] = None,
    prefix: Annotated[str, typer.Option(help="keys that begin with")] = "",
    ordered: Annotated[bool, typer.Option("--ordered", help="in key order, not slot by slot")] = False,
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Write all records to a file that import reads back. Exit code 6: some do not fit the format."""
    from aidb.cli.exporting import export_file as run

    run(file, format.value, key, prefix, ordered, address, timeout, output is Output.JSON)


bench = typer.Typer(help="Measure: a cluster, or the embedded engine.", no_args_is_help=True)
app.add_typer(bench, name="bench")

BenchKeys = Annotated[int, typer.Option("--keys", help="how many operations", min=1)]
BenchBatch = Annotated[int, typer.Option("--batch", help="keys of one call", min=1, max=100_000)]
BenchThreads = Annotated[int, typer.Option("--threads", help="calls at the same time", min=1, max=64)]
BenchPrefix = Annotated[str, typer.Option("--prefix", help="of the keys")]
ValueSize = Annotated[int, typer.Option("--value-size", help="bytes", min=0, max=16 << 20)]


@bench.command("put")
def bench_put(
    keys: BenchKeys = 100_000,
    batch: BenchBatch = 100,
    value_size: ValueSize = 100,
    threads: BenchThreads = 4,
    prefix: BenchPrefix = "bench-",
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Write to a cluster: rate, latency, and CPU time of clients and servers per key."""
    from aidb.cli.bench_cluster import Load, bench

    bench(Load("put", keys, batch, value_size, threads, prefix), address, timeout, output is Output.JSON)


@bench.command("get")
def bench_get(
    keys: BenchKeys = 100_000,
    batch: BenchBatch = 100,
    value_size: ValueSize = 100,
    threads: BenchThreads = 4,
    prefix: BenchPrefix = "bench-",
    address: Address = None,
    timeout: Timeout = 30.0,
    output: Format = Output.TABLE,
) -> None:
    """Read from a cluster what `bench put` wrote with the same options."""
    from aidb.cli.bench_cluster import Load, bench

    bench(Load("get", keys, batch, value_size, threads, prefix), address, timeout, output is Output.JSON)


@bench.command("engine")
def bench_engine(
    keys: Annotated[int, typer.Option(help="entries of a store", min=1000)] = 100_000,
    value_size: ValueSize = 100,
    rounds: Annotated[int, typer.Option(help="runs of each engine, alternating", min=1)] = 3,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="where the stores are made and removed", show_default="of the system"),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Compare the embedded engine with RocksDB (rocksdict) through the same workloads."""
    from aidb.cli.bench_engine.run import bench
    from aidb.cli.bench_engine.workloads import Load

    bench(Load(keys, value_size), rounds, directory, output is Output.JSON)


@bench.command("cost")
def bench_cost(
    keys: Annotated[int, typer.Option(help="keys of a shard", min=100)] = 20_000,
    value_size: ValueSize = 1000,
    operations: Annotated[int, typer.Option(help="of each workload", min=100)] = 60_000,
    replicas: Annotated[int, typer.Option(help="cache replicas", min=0, max=8)] = 2,
    cache_percent: Annotated[int, typer.Option(help="of the data, in each replica", min=1, max=100)] = 30,
    data_gb: Annotated[float, typer.Option(help="priced: data of a shard", min=0.001)] = 100.0,
    rate: Annotated[float, typer.Option(help="priced: operations a second", min=1)] = 2000.0,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="NAME=DOLLARS",
            help="disk, objects, memory: of a GB a month; cpu: of a vCPU a month; network: of a GB; "
            "puts, gets: of a thousand",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="of keys and operations")] = 1,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="where the clusters are made and removed", show_default="of the system"),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", exists=True, dir_okay=False, help="keep the figures there, too")
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Measure what a shard stores, sends and asks for on YCSB A, B, C and a cache-like mix, beside three full
    copies.
    """
    from aidb.cli.bench_cost.prices import Scale, prices_of
    from aidb.cli.bench_cost.run import Load, bench

    load = Load(keys, value_size, operations, replicas, cache_percent, seed)
    bench(load, prices_of(price or []), Scale(data_gb, rate), directory, page, output is Output.JSON)


@app.command()
def version(output: Format = Output.TABLE) -> None:
    """Show versions, and how the native module was built."""
    from aidb.cli.output import document, line
    from aidb.cli.version import versions

    found = versions()
    if output is Output.JSON:
        document(found)
        return
    for name, value in found.items():
        line(f"{name} {value or 'not installed'}")
