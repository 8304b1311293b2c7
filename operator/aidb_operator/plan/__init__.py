"""Pure: what is wanted and what is in, objects and actions out. No I/O, no clock of its own.

A concern is a module with `plan(view) -> Outcome`, and a line in `aidb_operator.reconcile.STEPS`.
"""
