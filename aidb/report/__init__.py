"""A report: what somebody needs who is to find out what ails a cluster, in one archive, without secrets.

`aidb-admin report` makes it of what answers and of a local cluster's directory, `kubectl aidb report` of what
the API server has. What all have is here: the archive, what the coordinator knows, what is taken away.
"""
