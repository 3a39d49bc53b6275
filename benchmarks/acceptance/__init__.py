"""The acceptance run: one command that checks correctness, measures speed and compares with the goals."""
