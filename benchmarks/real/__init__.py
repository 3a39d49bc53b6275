"""Questions about PDFs of Debian's documentation packages: BM25, the reranker, and both fused."""
