"""CSV and TSV: rows of cells with a delimiter between them, quoted as RFC 4180 says. Three forms:

- Pairs: the columns ``key``, ``value``, ``encoding``, ``expires_at_ms``. ``encoding`` of key and value is
  ``utf-8``, or ``base64`` for what is no text. The last two columns may be missing; others are ignored.
- A key column and a value column are named: both are the cells' bytes as they are.
- A key column alone is named: the value is the row as JSON, an object of text by column, or without a header
  an array of text.

Without a header, columns are named by their numbers, from 1, and those of pairs stand in the order above.
Empty lines are no rows. A quoted cell may hold line ends; rows are written with CR LF behind them.

Cells are bytes. The parser is Python's, which reads text: latin-1 is a character for each byte, so that
nothing is lost on the way.
"""

from __future__ import annotations

from aidb.formats.separated.reading import read
from aidb.formats.separated.table import Table
from aidb.formats.separated.writing import Writer

__all__ = ["Table", "Writer", "read"]
