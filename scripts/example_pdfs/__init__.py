"""Text and layout of the example PDFs."""
