"""The custom resources, typed. These classes are the one source of the CRDs, the chart's copies of them and
docs/reference/crds.md (tools/generate_crds.py).
"""
