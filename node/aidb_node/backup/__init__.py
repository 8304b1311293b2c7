"""The second copy of a primary's data: its log, continuously (`archive`), and snapshots of its tables
(`snapshots`).

`second_copy` runs both beside the native server; nothing of it is in a request's way.
"""
