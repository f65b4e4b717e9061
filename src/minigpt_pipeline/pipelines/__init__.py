"""One package for each pipeline; they meet only in the catalog."""
