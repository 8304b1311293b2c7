"""Entry point: runs a command and turns what goes wrong into one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script. ``--version`` alone is answered without loading the command line."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from aidb.cli.version import aidb_version

        print(f"aidb {aidb_version()}")
        sys.exit(0)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    from aidb.cli.app import app
    from aidb.cli.exits import Exit, Failure, exit_of
    from aidb.errors import AidbError
    from aidb.local.refusal import Refused

    try:
        code = app(arguments, prog_name="aidb", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except Failure as failure:
        return _say(str(failure), failure.code)
    except Refused as refusal:
        return _say(str(refusal), Exit.BAD_INPUT)
    except AidbError as error:
        return _say(str(error), exit_of(error))
    except KeyboardInterrupt:
        return _say("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`aidb scan | head`): nothing is wrong, and Python must not flush again at
        # exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)
    except OSError as error:
        what = error.strerror or str(error)
        return _say(f"{error.filename}: {what}" if error.filename else what, Exit.ERROR)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            return _say(f"internal error: {type(error).__name__}: {error}; please report it", Exit.ERROR)
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "aidb"
        return _say(f"{usage()} Try '{command} --help'.", Exit.BAD_INPUT)


def _say(message: str, code: int) -> int:
    print("aidb: " + " ".join(message.split()), file=sys.stderr)
    return int(code)
