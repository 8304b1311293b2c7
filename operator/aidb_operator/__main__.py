"""`aidb-operator`, or `python -m aidb_operator`: looks after the AidbClusters until SIGTERM or SIGINT.

Exit codes: 0 stopped cleanly, 1 failed while running, 2 cannot start as asked.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence

from aidb import logs

PROGRAM = "aidb-operator"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    instance = os.environ.get("POD_NAME") or socket.gethostname()
    as_json = options.log_format == "json"
    logs.set_up(PROGRAM, options.log_format, options.log_level, member=instance)
    # kopf tells of every object that it does nothing with.
    level = logging.getLevelNamesMapping()[options.log_level.upper()]
    logging.getLogger("kopf").setLevel(max(logging.WARNING, level))
    # The libraries take seconds to load; wrong options are told before.
    from kubernetes.config import ConfigException

    from aidb.metrics import MetricsAddressError
    from aidb_operator.kubernetes.api import connect
    from aidb_operator.operating import Operator, Options

    try:
        operator = Operator(
            Options(
                namespaces=options.namespaces,
                image=options.image,
                listen=options.listen,
                resync=options.resync,
                threads=options.threads,
                instance=instance,
            ),
            connect(),
        )
    except ConfigException as error:
        what = f"no API server: neither in a pod nor a KUBECONFIG that can be used: {error}"
        logs.cannot_start(PROGRAM, what, json=as_json)
        return 2
    except MetricsAddressError as error:
        logs.cannot_start(PROGRAM, str(error).replace("--metrics", "--listen"), json=as_json)
        return 2
    operator.stop_at_signals()
    failure = operator.run()
    if failure:
        logs.cannot_start(PROGRAM, failure, json=as_json)
    return 1 if failure else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="The Kubernetes operator of AiDb.")
    add = parser.add_argument
    add(
        "--namespaces",
        type=_namespaces,
        default=(),
        metavar="A,B",
        help="whose clusters it looks after (all)",
    )
    add("--image", default="", help="of the programs of clusters whose spec names none")
    add(
        "--listen",
        default="0.0.0.0:8080",
        metavar="HOST:PORT",
        help="/livez, /readyz and /metrics (0.0.0.0:8080)",
    )
    add(
        "--resync",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="between two looks where nothing happens (30)",
    )
    add(
        "--threads", type=_threads, default=4, metavar="N", help="clusters that have their turn at a time (4)"
    )
    logs.add_arguments(add)
    return parser


def _namespaces(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 1 <= number <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range: 1 to 3600 seconds")
    return number


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range: 1 to 64")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
