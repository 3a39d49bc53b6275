"""What the example PDFs say and how they are drawn."""
