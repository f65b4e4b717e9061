"""Short pieces of long texts, for reports and messages."""

MAX_EXCERPT_LENGTH = 60
"""Characters of a review that a report shows."""


def cut(text: str, max_length: int = MAX_EXCERPT_LENGTH) -> str:
    """Return a text of at most `max_length` characters; one that was cut ends with an ellipsis."""
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"
