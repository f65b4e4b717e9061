"""How much arithmetic a token needs."""


def flop_per_token(
    *, vocabulary_size: int, embed_dim: int, attention_width: int, feed_forward_dim: int, num_blocks: int
) -> int:
    """Count the floating-point operations of training on one token, in the products of matrices with weights.

    A weight matrix of `rows x columns` costs `rows x columns` multiplications a token on the way forward, and as many
    additions; the way back is two such products, one for the gradient of the inputs and one for that of the weights:
    3 x 2 operations a weight. The matrices are, in each block, query, key, value and output of the attention
    (`4 x embed_dim x attention_width`) and both of the feed-forward network (`2 x embed_dim x feed_forward_dim`), and
    after them the output layer (`embed_dim x vocabulary_size`). Looking up a row of an embedding is no product. Left
    out, being small or no products: scores and weighted sums of the attention (1 % at the example's sizes), softmax,
    norms, biases, the optimizer. So the share of the machine's limit is never flattered.

    At the published example's sizes (20,000 words, width 256, feed-forward 256, one block) this is 33.1 MFLOP with
    heads that share the width, as nanoGPT's do, and 34.7 MFLOP with the example's two heads of 256 each.

    Args:
        vocabulary_size: Words.
        embed_dim: Width of the hidden states.
        attention_width: Heads times width of a head.
        feed_forward_dim: Width of the feed-forward network's hidden layer.
        num_blocks: Transformer blocks.

    References:
        [Kaplan et al., 2020](https://arxiv.org/abs/2001.08361), section 2.1: 6 operations a weight and token.
    """
    block = 4 * embed_dim * attention_width + 2 * embed_dim * feed_forward_dim
    weights = num_blocks * block + embed_dim * vocabulary_size
    return 3 * 2 * weights
