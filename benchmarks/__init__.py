"""How fast the project is, always against something else in the same run; see benchmarks/README.md."""
