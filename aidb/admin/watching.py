"""`--watch`: a command's answer again and again, until Ctrl-C or as often as was asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output

_CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True, slots=True)
class Watch:
    """``every`` in seconds. ``times`` 0: without end. One that is not ``wanted`` draws once."""

    wanted: bool
    every: float
    times: int

    def draw(self, draw: Callable[[], int], how: Output) -> int:
        """The last exit code. A terminal shows the newest answer alone; elsewhere each follows the one
        before. A coordinator that is away is waited for. Raises Failure.
        """
        if not self.wanted:
            return draw()
        drawn, code = 0, int(Exit.OK)
        while True:
            if how is Output.TABLE and sys.stdout.isatty():
                print(_CLEAR, end="")
            elif how is Output.TABLE and drawn:
                output.line("")
            try:
                code = draw()
            except Failure as failure:
                if failure.code is not Exit.UNAVAILABLE:
                    raise
                code = int(failure.code)
                output.note(str(failure))
            sys.stdout.flush()
            drawn += 1
            if drawn == self.times:
                return code
            time.sleep(self.every)
