"""Which of several coordinators leads: the one that holds a Lease of Kubernetes.

    election   the rules, pure: what was seen and written -> what to do next, and until when one leads
    record     a Lease object as the rules see it
    elector    carries them out: a thread of its own, so that no busy event loop delays a renewal

Two never lead at once, whatever answers are lost and however long a process stands still: who leads counts
from when its last answered renewal was first sent (as D1), less the allowance for clock rates; who wants to
lead waits for a whole duration in which the record that it then replaces did not change. What a leader
writes is a compare-and-swap besides, see `store.kubernetes`.
"""
