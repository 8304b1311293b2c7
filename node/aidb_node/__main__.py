"""`python -m aidb_node primary|replica|router ...`: one node, until SIGTERM or SIGINT.

Exit codes: 0 stopped cleanly, 1 failed while running, 2 cannot start as asked,
3 the shard was handed over: the object store has all that the directory has, and it can go.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aidb_node import config, lifecycle


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; argparse exits by itself for a wrong command line."""
    return lifecycle.run(config.parse(arguments))


if __name__ == "__main__":
    sys.exit(main())
