"""The autoscaler carried out in local mode: samples, decisions, and the operations that they begin.

What is decided is `autoscaler`'s, which is pure; what is begun is `scaling`'s. Here is the clock between
them, and what is remembered over restarts.
"""

from __future__ import annotations
