"""From what was measured to money: a month of a shard with so much data at such a rate. Nothing but
multiplication; the prices are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from aidb.cli.bench_cost.usage import Usage
from aidb.cli.exits import Exit, Failure

_DAY_SECONDS = 86_400.0
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
    """What is priced: GB of data as users count it, operations a second, days that snapshots and log are
    kept, snapshots a day.
    """

    data_gb: float = 100.0
    rate: float = 2_000.0
    keep_days: float = 7.0
    snapshots: float = 24.0


@dataclass(frozen=True, slots=True)
class Measured:
    """``loaded``: of writing every key once. ``run``: of ``operations``, which took ``seconds``; ``end``: of
    the snapshot, or the flush, after them. ``logical``: bytes of keys and values.
    """

    loaded: Usage
    run: Usage
    end: Usage
    operations: int
    seconds: float
    logical: int

    def total(self, name: str) -> int:
        """Of run and end."""
        return int(getattr(self.run, name) + getattr(self.end, name))


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars a month. ``nodes``: processors and memory."""

    storage: float
    nodes: float
    network: float
    requests: float

    @property
    def without_network(self) -> float:
        return self.storage + self.nodes + self.requests

    @property
    def total(self) -> float:
        return self.without_network + self.network


def cost(found: Measured, prices: Prices, scale: Scale) -> Cost:
    """Tables grow with the data; the log on disks does not. In the object store there are the tables of the
    newest snapshot, and everything that was uploaded in the days that are kept. Processors and networks work
    by the operation; pieces of the log come by the second, and what a snapshot asks for with the snapshot.
    """
    grown = scale.data_gb * _GB / found.logical
    a_second = scale.rate / found.operations
    tables = found.end.tables * grown
    kept = found.total("uploaded") * a_second * scale.keep_days * _DAY_SECONDS
    objects = (tables + kept) * bool(found.end.objects)
    months = scale.snapshots * _MONTH_SECONDS / _DAY_SECONDS

    def asked(name: str) -> float:
        return float(
            getattr(found.run, name) / found.seconds * _MONTH_SECONDS + getattr(found.end, name) * months
        )

    return Cost(
        storage=((tables + found.end.log) * prices.disk + objects * prices.objects) / _GB,
        nodes=found.total("cpu_us") / 1e6 * a_second * prices.cpu + found.end.memory / _GB * prices.memory,
        network=found.total("network") / _GB * a_second * _MONTH_SECONDS * prices.network,
        requests=(asked("puts") * prices.puts + asked("gets") * prices.gets) / 1000,
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
            names = ", ".join(sorted(known))
            raise Failure(f"--price {text}: give one of {names}, as in disk=0.1", Exit.BAD_INPUT)
    return replace(Prices(), **changed)
