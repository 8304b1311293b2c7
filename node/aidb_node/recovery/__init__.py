"""From the object store back to a disk: `choice` reads what there is and picks, `tables` downloads,
`replay` catches up with the log, `recover` does it all, in a directory beside the one that it replaces at
the end.
"""
