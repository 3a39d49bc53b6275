"""The APIs that the server serves: one file per family, each translates JSON and nothing else."""
