"""Benchmarks: the engine against stock transformers, interleaved. See ``python -m benchmarks --help``."""
