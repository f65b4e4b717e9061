"""Trained models beside each other: which runs, what differs between them, and the page that shows it."""
