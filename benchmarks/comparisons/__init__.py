"""One module a hot path: its workers, and a function `plan` that says what is compared with what."""
