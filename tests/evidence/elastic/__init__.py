"""Does anybody notice that the cluster grows and shrinks? `python -m tests.evidence.elastic`."""
