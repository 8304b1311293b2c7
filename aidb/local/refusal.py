"""What stops a local cluster before it starts."""

from __future__ import annotations


class Refused(Exception):
    """The cluster cannot run as asked. The message says what is wrong, with what, and what to do."""
