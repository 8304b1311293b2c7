"""What applications see of a cluster, for Prometheus: calls with all their retries, redirects and hedges, as
the client took them. Beside it stands what the members see of themselves, `docs/reference/metrics.md`.

    metrics = ClientMetrics()
    prometheus_client.REGISTRY.register(metrics)
    db = aidb.connect(metrics=metrics)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

from prometheus_client import Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from aidb.commands import Call, CallAll, Command, Open, Operation
from aidb.errors import AidbError, code_name

T = TypeVar("T")

_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ClientMetrics(Collector):
    """Of the clients that it is given to, one or many; to be registered with a `prometheus_client` registry.
    Thread-safe.
    """

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._own = own
        self._ended = Counter(
            "aidb_client_requests",
            "Calls of the application by how they ended: OK, an error code, CANCELLED, FAILED (not AiDb's)",
            ["method", "code"],
            registry=own,
        )
        self._seconds = Histogram(
            "aidb_client_request_duration_seconds",
            "From a call of the application to its end, retries included; of scans, to the last entry taken",
            ["method"],
            buckets=_SECONDS,
            registry=own,
        )
        self._sent = Counter(
            "aidb_client_sent_requests",
            "Requests that calls of the application were made of: more than one each for batches over "
            "several shards, redirects and retries; second reads of hedging apart",
            ["method"],
            registry=own,
        )

    def watched(self, method: str, operation: Operation[T]) -> Operation[T]:
        """``operation``, counted when it ends or is given up."""
        sent, code = 0, "CANCELLED"
        began = time.perf_counter()
        try:
            command = next(operation)
            while True:
                sent += _requests(command)
                command = operation.send((yield command))
        except StopIteration as stop:
            code = "OK"
            return stop.value  # type: ignore[no-any-return]
        except AidbError as error:
            code = code_name(error.code)
            raise
        except Exception:
            code = "FAILED"
            raise
        finally:
            operation.close()
            self._seconds.labels(method).observe(time.perf_counter() - began)
            self._ended.labels(method, code).inc()
            self._sent.labels(method).inc(sent)

    def collect(self) -> Iterator[Metric]:
        yield from self._own.collect()


def _requests(command: Command) -> int:
    match command:
        case Call() | Open():
            return 1
        case CallAll():
            return len(command.calls)
        case _:
            return 0
