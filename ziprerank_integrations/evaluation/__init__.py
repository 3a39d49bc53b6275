"""Measuring rerankers: MMDocIR's protocol, and the same on one's own questions."""
