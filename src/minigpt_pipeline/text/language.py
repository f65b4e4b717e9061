"""In which language texts are written."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from minigpt_pipeline.text.standardization import LINE_BREAK

UNDECIDED = "und"
"""ISO 639-2 for a language that is not determined."""

_MAX_CHARACTERS = 4000  # of a text: more of them change no answer


def find_languages(texts: Iterable[Any], min_confidence: float, expected: str) -> list[str | None]:
    """Identify the language of each text.

    Args:
        texts: Strings; null where there is none.
        min_confidence: Share of the probability that a language must have, else it is `UNDECIDED`.
        expected: Must be one of those that can be identified.

    Returns:
        ISO 639-1 codes; null where there is no text.

    Raises:
        ValueError: If the expected language is not known.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(
        MODEL_FILE, norm_probs=True, min_confidence=min_confidence
    )
    if expected not in identifier.labels:
        raise ValueError(
            f"incoming.language={expected} is none that can be identified: expected one of "
            f"{', '.join(sorted(identifier.labels))}, or null, in conf/base/parameters_incoming.yml"
        )
    return [
        None if pd.isna(text) else identifier.classify(text[:_MAX_CHARACTERS].replace(LINE_BREAK, " "))[0]
        for text in texts
    ]
