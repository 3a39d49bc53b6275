"""The torch core. Nothing outside this folder imports torch or transformers."""
