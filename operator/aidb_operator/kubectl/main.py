"""Entry point of the plugin: kubectl finds it by its name, `kubectl-aidb`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NoReturn

# As of kubectl, they may stand behind the command.
_GLOBAL = ("-n", "--namespace", "--context", "--kubeconfig")


def main() -> NoReturn:
    """The console script."""
    from aidb.cli.main import run
    from aidb_operator.kubectl.app import app

    sys.exit(run(sys.argv[1:], app, "kubectl aidb", prepare=in_order))


def in_order(arguments: list[str]) -> list[str]:
    """Those that say where the cluster is first, as the command line wants them."""
    where, rest = list[str](), list[str]()
    left = iter(arguments)
    for word in left:
        if word == "--":
            rest += [word, *left]
        elif word in _GLOBAL:
            where += [word, *_value(left)]
        elif word.partition("=")[0] in _GLOBAL[1:]:
            where.append(word)
        else:
            rest.append(word)
    return where + rest


def _value(left: Iterator[str]) -> list[str]:
    value = next(left, None)
    return [] if value is None else [value]


if __name__ == "__main__":
    main()
