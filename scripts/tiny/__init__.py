"""Training of the small checkpoint that is bundled with the package; README.md describes the steps."""
