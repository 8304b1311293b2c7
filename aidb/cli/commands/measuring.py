"""How fast a cluster or the embedded engine is, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aidb.cli.parameters import (
    Address,
    Format,
    Output,
    Timeout,
)

commands = typer.Typer()


bench = typer.Typer(help="Measure: a cluster, or the embedded engine.", no_args_is_help=True)
commands.add_typer(bench, name="bench")

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
