"""Entry point: runs a command and turns what goes wrong into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typer import Typer

_FLUSH_SECONDS = 2.0


def main() -> NoReturn:
    """The console script. ``--version`` alone is answered without loading the command line."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from aidb.cli.version import aidb_version

        print(f"aidb {aidb_version()}")
        sys.exit(0)
    sys.exit(run(sys.argv[1:]))


def run(
    arguments: list[str],
    app: Typer | None = None,
    name: str = "aidb",
    *,
    prepare: Callable[[list[str]], list[str]] = list,
) -> int:
    """Run one command of ``app`` (that of `aidb` if not given), with the arguments that ``prepare`` makes of
    these; returns its exit code.
    """
    with _traces(name):
        return _run(arguments, app, name, prepare)


@contextmanager
def _traces(name: str) -> Iterator[None]:
    """Where OpenTelemetry's variables ask for them."""
    if not any(variable.startswith("OTEL_") for variable in os.environ):
        yield
        return
    from aidb.tracing.provider import close, install

    provider = install(name)
    try:
        yield
    finally:
        if provider is not None:
            close(provider, _FLUSH_SECONDS)


def _run(
    arguments: list[str], app: Typer | None, name: str, prepare: Callable[[list[str]], list[str]]
) -> int:
    from aidb.cli.exits import Exit, Failure, exit_of
    from aidb.errors import AidbError
    from aidb.local.refusal import Refused

    if app is None:
        from aidb.cli.app import app as commands
    else:
        commands = app
    try:
        code = commands(prepare(arguments), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except Failure as failure:
        return _say(name, str(failure), failure.code)
    except Refused as refusal:
        return _say(name, str(refusal), Exit.BAD_INPUT)
    except AidbError as error:
        return _say(name, str(error), exit_of(error))
    except KeyboardInterrupt:
        return _say(name, "interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`aidb scan | head`): nothing is wrong, and Python must not flush again at
        # exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except OSError as error:
        what = error.strerror or str(error)
        return _say(name, f"{error.filename}: {what}" if error.filename else what, Exit.ERROR)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            kind = type(error).__name__
            return _say(name, f"internal error: {kind}: {error}; please report it", Exit.ERROR)
        context = getattr(error, "ctx", None)
        command = context.command_path if context else name
        return _say(name, f"{usage()} Try '{command} --help'.", Exit.BAD_INPUT)


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: " + " ".join(message.split()), file=sys.stderr)
    return int(code)
