"""Benchmarks: ours against the plain way, in one process, in turn. See ``python -m benchmarks --help``."""
