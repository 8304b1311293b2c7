"""`python -m aidb.cli`."""

from __future__ import annotations

from aidb.cli.main import main

if __name__ == "__main__":
    main()
