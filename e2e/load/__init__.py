"""Clients in a pod: readers and writers who write down what they did and saw (runs in the node image)."""
