"""A coverage-guided fuzzer of all that reads what anybody may have made: `make fuzz`."""
