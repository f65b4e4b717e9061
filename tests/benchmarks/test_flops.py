from benchmarks.flops import flop_per_token

EXAMPLE = {"vocabulary_size": 20000, "embed_dim": 256, "feed_forward_dim": 256, "num_blocks": 1}


def test_the_published_sizes_need_33_megaflop_a_token() -> None:
    # 6 x (256 x 20,000 + 4 x 256 x 256 + 2 x 256 x 256)
    assert flop_per_token(**EXAMPLE, attention_width=256) == 33_079_296


def test_heads_as_wide_as_the_model_need_more() -> None:
    # 6 x (256 x 20,000 + 4 x 256 x 512 + 2 x 256 x 256)
    assert flop_per_token(**EXAMPLE, attention_width=512) == 34_652_160


def test_every_block_counts() -> None:
    sizes = {"vocabulary_size": 10, "embed_dim": 2, "attention_width": 3, "feed_forward_dim": 5}

    assert flop_per_token(**sizes, num_blocks=2) == 6 * (2 * (4 * 2 * 3 + 2 * 2 * 5) + 2 * 10)
