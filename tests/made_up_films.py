"""Reviews of films that don't exist, and models whose losses are known: each word is as likely wherever it stands."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import (
    GenerationParameters,
    ModelParameters,
    PromotionParameters,
    SamplingParameters,
    SplitParameters,
    VectorizationParameters,
)
from minigpt_pipeline.text.encoding import encode_parts
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import Vocabulary, count_words
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

SHARES = SplitParameters(train=0.5, validation=0.4, test=0.1)
RARE = ("quirky", "gloomy", "zippy", "murky", "quick", "gooey", "zany")


def write_review(number: int) -> str:
    """Every second film is good, every third review has a word that is rare, every tenth is longer than the measure."""
    judged = f"the plot is {('good', 'dull')[number % 2]}"
    rare = f" and {RARE[number % 7]}" if number % 3 == 0 else ""
    return f"the film is fun{rare} and {judged}" + f" and {judged}" * (20 if number % 10 == 0 else 0) + rare


TEXTS = [write_review(number) for number in range(80)]
REVIEWS = pa.record_batch(
    {
        "review_id": [f"train/pos/{number}" for number in range(len(TEXTS))],
        "movie_id": [f"tt{number:07}" for number in range(len(TEXTS))],
        "rating": pa.array([1 + number % 10 for number in range(len(TEXTS))], pa.int8()),
        "text": TEXTS,
    }
)
WORDS = WordTokenizer(Vocabulary(("", "[UNK]", "the", "film", "plot", "is", "and", "fun", "good", "dull")))
SUBWORDS = train_subword_tokenizer(count_words(pa.array([to_words(text) for text in TEXTS])), 1 + 256 + 20)

TRAIN, VALIDATION, _ = encode_parts([REVIEWS], WORDS, SHARES)

KNOWN = {"is": 1.0, "the": 0.7, "plot": 0.5, "and": 0.5}
"""Of a model that knows the language a little: how much more likely these words are, in nats."""

PROMOTION = PromotionParameters(
    margin=0.0, max_perplexity=None, max_unk_rate=0.5, max_seq_rep_4=None, max_megabytes=10.0,
    max_seconds_per_text=60.0, num_texts=8, batch_size=8, seed=0,
)  # fmt: skip
GENERATION = GenerationParameters(
    prompts=["the film", "a plot"],
    seeds=[0],
    sampling=SamplingParameters(temperature=1.0, top_k=None, top_p=None, max_new_tokens=6, stop_token=None),
)
VECTORIZATION = VectorizationParameters(vocabulary_size=len(WORDS), min_words=2, split=SHARES)


def expect(nats: Mapping[str, float], tokenizer: Tokenizer = WORDS, **metadata: Any) -> TrainedModel:
    """Make a model to which all tokens are equally likely, but for some words."""
    model = make_model(tokenizer)
    *others, bias = [np.zeros_like(weight) for weight in model.get_weights()]
    for word, more in nats.items():
        bias[tokenizer.find(word)] = more
    model.set_weights([*others, bias])
    return TrainedModel.from_model(model, tokenizer, {"epochs": 1, **metadata})


def draw(seed: int, **metadata: Any) -> TrainedModel:
    """Make a model with fresh weights, to which words depend on those before them."""
    import keras

    keras.utils.set_random_seed(seed)
    return TrainedModel.from_model(make_model(WORDS), WORDS, {"epochs": 1, **metadata})


def make_model(tokenizer: Tokenizer) -> Any:
    from minigpt_pipeline.model.mini_gpt import create_model

    sizes = ModelParameters(
        sequence_length=8, embed_dim=4, num_heads=1, head_dim=None, feed_forward_dim=4, num_blocks=1, dropout=0.0
    )  # fmt: skip
    return create_model(sizes, len(tokenizer), tokenizer.unknown_id)
