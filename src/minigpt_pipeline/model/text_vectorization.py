"""From the text of a review to token ids as a Keras layer, for those who serve or study the model outside this project.

The pipelines use the column-wise `text.standardization`; this layer agrees with it token by token.
"""

from typing import Any

import keras

from minigpt_pipeline.text.standardization import LINE_BREAK, PUNCTUATION_PATTERN, WHITE_SPACE_PATTERN
from minigpt_pipeline.text.vocabulary import Vocabulary


@keras.saving.register_keras_serializable(package="minigpt_pipeline")
def standardize_text(texts: Any) -> Any:
    """Lower the case of ASCII letters, drop line breaks, set punctuation apart, and leave single spaces.

    Args:
        texts: string tensor of any shape.

    Returns:
        string tensor of the same shape.
    """
    import tensorflow as tf

    texts = tf.strings.lower(texts)  # without an encoding: ASCII letters only
    texts = tf.strings.regex_replace(texts, LINE_BREAK, " ")
    texts = tf.strings.regex_replace(texts, f"({PUNCTUATION_PATTERN})", r" \1 ")
    texts = tf.strings.regex_replace(texts, WHITE_SPACE_PATTERN, " ")
    return tf.strings.strip(texts)


def create_text_vectorization(
    vocabulary: Vocabulary, sequence_length: int | None = None
) -> keras.layers.TextVectorization:
    """Make the layer that turns texts into ids of a vocabulary.

    The vocabulary is given to the constructor and not adapted: only so does a saved layer keep words that hold line
    separators.

    Args:
        vocabulary: Words and their ids.
        sequence_length: Cut or fill texts to this many ids; null means as long as the longest text.

    Returns:
        A layer from strings, `(batch_size,)`, to int64, `(batch_size, length)`; 0 is padding, 1 is `[UNK]`.
    """
    return keras.layers.TextVectorization(
        standardize=standardize_text,
        split="whitespace",
        output_sequence_length=sequence_length,
        vocabulary=list(vocabulary.words[2:]),
    )
