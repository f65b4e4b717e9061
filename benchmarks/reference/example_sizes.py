"""Sizes of the published example, for all that are measured at them."""

VOCABULARY_SIZE = 20000
SEQUENCE_LENGTH = 80
EMBED_DIM = 256
NUM_HEADS = 2
FEED_FORWARD_DIM = 256
BATCH_SIZE = 128
TOP_K = 10
NEW_TOKENS = 40
