"""What the project is measured against: the same work as others write it."""
