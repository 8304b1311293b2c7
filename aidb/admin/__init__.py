"""`aidb-admin`: looks into the files of a store, verifies and repairs it. Works without a cluster, on a store
that nobody has open.
"""
