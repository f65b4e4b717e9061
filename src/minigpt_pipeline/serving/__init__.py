"""The champion over HTTP, and what is watched of its answers."""
