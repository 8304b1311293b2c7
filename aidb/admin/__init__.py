"""`aidb-admin`: backups, recovery, verification; looks into the files of a store and repairs it. Only
`backup` needs a cluster that runs.
"""
