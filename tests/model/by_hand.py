"""The model in plain NumPy and float64, sequence by sequence and place by place, as its papers write it."""

import math

import numpy as np

from minigpt_pipeline.model.adaptive_softmax import AdaptiveSoftmax
from minigpt_pipeline.model.causal_self_attention import CausalSelfAttention
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.transformer_block import TransformerBlock


def read_weights(layer: object) -> list[np.ndarray]:
    return [np.array(weight, dtype="float64") for weight in layer.weights]  # type: ignore[attr-defined]


def rotate(vectors: np.ndarray) -> np.ndarray:
    """Multiply pairs of columns, (place, head_dim), as complex numbers by exp(i place 10,000^(-2 pair / head_dim))."""
    length, head_dim = vectors.shape
    pairs = vectors[:, : head_dim // 2] + 1j * vectors[:, head_dim // 2 :]
    for place in range(length):
        for pair in range(head_dim // 2):
            pairs[place, pair] *= np.exp(1j * place * 10_000.0 ** (-2 * pair / head_dim))
    return np.concatenate([pairs.real, pairs.imag], axis=1)


def attend(inputs: np.ndarray, layer: CausalSelfAttention) -> np.ndarray:
    """Let each word of a sequence, (place, embed_dim), look at itself and at those before it."""
    input_w, input_b, output_w, output_b = read_weights(layer)
    projected = inputs @ input_w + input_b
    query, key, value = np.split(projected, 3, axis=1)
    gathered = np.zeros_like(query)
    for head in range(layer.num_heads):
        columns = slice(head * layer.head_dim, (head + 1) * layer.head_dim)
        queries, keys = query[:, columns], key[:, columns]
        if layer.rotary_length is not None:
            queries, keys = rotate(queries), rotate(keys)
        for place in range(len(inputs)):
            scores = keys[: place + 1] @ queries[place] / math.sqrt(layer.head_dim)
            shares = np.exp(scores) / np.exp(scores).sum()
            gathered[place, columns] = shares @ value[: place + 1, columns]
    return gathered @ output_w + output_b


def normalize(values: np.ndarray, layer: object) -> np.ndarray:
    gain, offset = read_weights(layer)
    centred = values - values.mean(axis=-1, keepdims=True)
    return gain * centred / np.sqrt(values.var(axis=-1, keepdims=True) + 1e-6) + offset


def feed_forward(inputs: np.ndarray, block: TransformerBlock) -> np.ndarray:
    expansion_w, expansion_b = read_weights(block.expansion)
    contraction_w, contraction_b = read_weights(block.contraction)
    hidden = inputs @ expansion_w + expansion_b
    if block.activation == "gelu":  # x times the share of a normal distribution below x
        hidden *= (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
    else:
        hidden = np.maximum(hidden, 0)
    return hidden @ contraction_w + contraction_b


def transform(inputs: np.ndarray, block: TransformerBlock) -> np.ndarray:
    """Take a sequence, (place, embed_dim), through a block."""
    if block.normalization == "pre":
        gathered = inputs + attend(normalize(inputs, block.attention_norm), block.attention)
        return gathered + feed_forward(normalize(gathered, block.feed_forward_norm), block)
    gathered = normalize(inputs + attend(inputs, block.attention), block.attention_norm)
    return normalize(gathered + feed_forward(gathered, block), block.feed_forward_norm)


def predict(word_ids: np.ndarray, model: MiniGPT) -> np.ndarray:
    """Return the logarithms of the probabilities of the word after each of a sequence, (place, vocabulary_size)."""
    words, *places = read_weights(model.embedding)
    states = words[word_ids]
    if model.positions == "learned":
        states += places[0][: len(word_ids)]
    for block in model.blocks:
        states = transform(states, block)
    if model.normalization == "pre":
        states = normalize(states, model.final_norm)
    if isinstance(model.output_layer, AdaptiveSoftmax):
        head_kernel, head_bias, projection, rare_kernel, rare_bias = read_weights(model.output_layer)
        head = log_softmax(states @ head_kernel.T + head_bias)
        rare = log_softmax(states @ projection @ rare_kernel.T + rare_bias)
        return np.concatenate([head[:, :-1], head[:, -1:] + rare], axis=1)
    *own, bias = read_weights(model.output_layer)
    return log_softmax(states @ (words if model.tied_embeddings else own[0]).T + bias)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
