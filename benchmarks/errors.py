"""Errors: the one thing that makes a benchmark fail."""

from __future__ import annotations


class Broken(Exception):
    """Something did not work: a job was lost, a request refused, a process died. Slowness is no such thing."""
