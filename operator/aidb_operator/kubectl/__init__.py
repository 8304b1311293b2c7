"""`kubectl aidb`: what administrators do with clusters in Kubernetes. A kubeconfig is all that it needs:
wishes are written into the custom resources, and the coordinator is reached through the API server
(`forward`).
"""
