"""Evaluation of rerankers: MMDocIR's protocol, on MMDocIR or on your own questions."""
