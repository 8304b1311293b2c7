"""The operator: the infrastructure of AiDb clusters in Kubernetes. It makes pods, volumes and certificates,
and asks the coordinator; it never writes the topology.
"""
