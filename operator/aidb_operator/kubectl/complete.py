"""Completion of `kubectl aidb ...`: kubectl runs `kubectl_complete-aidb` with the words so far, the last of
which is to be completed, and reads a line for each candidate, ``word<TAB>help``, and behind them ``:`` and
what the shell is to do beside that. It is in kubectl's words what fish gets from other programs.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
import threading
from contextlib import redirect_stdout, suppress
from typing import NoReturn

import typer

_SECONDS = 2.0
_NAME = "kubectl-aidb"
# Of cobra, which kubectl is made with: files are offered, or nothing else.
_FILES, _NO_FILES = 0, 4


def main() -> NoReturn:
    """The console script."""
    candidates = complete(sys.argv[1:])
    sys.stdout.write("".join(f"{one}\n" for one in candidates))
    print(f":{_NO_FILES if candidates else _FILES}")
    sys.stdout.flush()
    # A cluster that does not answer is not waited for: see `clusters`.
    os._exit(0)


def complete(words: list[str]) -> list[str]:
    """Lines for kubectl."""
    from typer.completion import get_completion_inspect_parameters

    from aidb.cli.main import run
    from aidb_operator.kubectl.app import app
    from aidb_operator.kubectl.main import in_order

    *before, last = words or [""]
    os.environ["_KUBECTL_AIDB_COMPLETE"] = "complete_fish"
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    typed = shlex.join([_NAME, *in_order(before)])
    os.environ["_TYPER_COMPLETE_ARGS"] = f"{typed} {shlex.quote(last) if last else ''}"
    # It makes the shells known, as for programs that have options of their own for it.
    get_completion_inspect_parameters()
    answer = io.StringIO()
    with redirect_stdout(answer), suppress(SystemExit):
        run([], app, _NAME)
    return answer.getvalue().split("\n")[:-1] if answer.getvalue().strip() else []


def clusters(context: typer.Context) -> list[str]:
    """Names of the namespace's, if they come in time."""
    from aidb.cli.exits import Failure
    from aidb_operator.kubectl.place import place
    from aidb_operator.kubernetes import kinds

    given = context.find_root().params
    found = list[str]()

    def look() -> None:
        try:
            there = place(given.get("kubeconfig"), given.get("chosen"), given.get("namespace"))
            found.extend(str(one["metadata"]["name"]) for one in there.all(kinds.CLUSTER))
        except Failure:
            return

    looking = threading.Thread(target=look, daemon=True, name="completion")
    looking.start()
    looking.join(_SECONDS)
    return list(found)


if __name__ == "__main__":
    main()
