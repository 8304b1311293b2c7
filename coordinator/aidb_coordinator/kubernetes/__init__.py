"""The coordinator's side of the Kubernetes API: few calls, of raw objects."""
