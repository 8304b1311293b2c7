"""From what was measured to money: a month of a shard with so much data at such a rate. Nothing but
multiplication; the prices are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from aidb.cli.bench_cost.usage import Usage
from aidb.cli.exits import Exit, Failure

_MONTH_SECONDS = 2_628_000.0
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Prices:
    """In dollars. Months of a GB on a local SSD, of a GB in the object store, of a vCPU, of a GB of memory;
    GB sent between zones; thousands of requests.
    """

    disk: float = 0.08
    objects: float = 0.023
    cpu: float = 25.0
    memory: float = 3.3
    network: float = 0.02
    puts: float = 0.005
    gets: float = 0.0004


@dataclass(frozen=True, slots=True)
class Scale:
    """What is priced: GB of data as users count it, operations a second."""

    data_gb: float = 100.0
    rate: float = 2_000.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars a month. ``nodes``: processors and memory."""

    storage: float
    nodes: float
    network: float
    requests: float


def cost(run: Usage, logical: int, operations: int, seconds: float, prices: Prices, scale: Scale) -> Cost:
    """``run``: what ``operations`` took; ``logical``: bytes of keys and values. What is stored grows with the
    data, memory too; processors and networks work by the operation; requests come by the second.
    """
    grown = scale.data_gb * _GB / logical
    per_month = scale.rate * _MONTH_SECONDS / operations
    # Memory beyond what programs need at least is a matter of configuration; it is not scaled.
    return Cost(
        storage=(run.disk * prices.disk + run.objects * prices.objects) * grown / _GB,
        nodes=run.cpu_us / 1e6 / operations * scale.rate * prices.cpu + run.memory / _GB * prices.memory,
        network=run.network / _GB * per_month * prices.network,
        requests=(run.puts * prices.puts + run.gets * prices.gets) / 1000 / seconds * _MONTH_SECONDS,
    )


def prices_of(given: list[str]) -> Prices:
    """The defaults, changed by ``name=dollars``. Raises Failure."""
    known = {field.name for field in fields(Prices)}
    changed = {}
    for text in given:
        name, _, amount = text.partition("=")
        try:
            changed[name] = float(amount)
        except ValueError:
            changed[name] = -1.0
        if name not in known or not 0 <= changed[name] < 1e9:
            raise Failure(
                f"--price {text}: give one of {', '.join(sorted(known))}, as in disk=0.1", Exit.BAD_INPUT
            )
    return replace(Prices(), **changed)
