"""Adapting a checkpoint to one's own documents: the two training stages of ZipRerank (arXiv 2605.11864)."""
