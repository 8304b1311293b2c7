"""How every program logs: records on stderr, one line each, as text for people or as JSON for machines.

`set_up` once at the start; `tell` what the program learns about itself (its cluster, its epoch), `about` for
what a piece of work is about, `fields` for what one record says besides its message.
"""

from aidb.logs.said import about, fields, tell
from aidb.logs.settings import add_arguments
from aidb.logs.setup import cannot_start, set_up

__all__ = ["about", "add_arguments", "cannot_start", "fields", "set_up", "tell"]
