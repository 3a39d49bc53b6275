"""Finetuning a checkpoint on your own documents: the two training stages of ZipRerank (arXiv 2605.11864)."""
