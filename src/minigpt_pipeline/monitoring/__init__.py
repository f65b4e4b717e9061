"""What was served, beside training data: figures, warnings, and a page."""
