"""A local cluster of real processes below one data directory: what `aidb up` and `aidb down` work with.

`plan` decides and does no I/O; `supervisor` is the daemon that starts and restarts the programs; `cluster`
is what commands use. The process table is the only record of what runs (see `processes`), so that a
supervisor that was killed leaves nothing stale behind. Linux only: it reads /proc.

Nothing is imported here: every command and program needs some small module of this package.
"""
