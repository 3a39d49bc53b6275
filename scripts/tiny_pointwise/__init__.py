"""Training of the bundled pointwise checkpoint."""
