"""nanoGPT's architecture and optimizer at the published example's sizes, in eager PyTorch.

Our own writing. What differs from the example is nanoGPT's: heads that share the width, normalization before each part,
GELU, an output layer that is the token embedding, AdamW with weight decay on matrices, gradients clipped to norm 1, and
padding left out of the loss. Its feed-forward network is four times as wide as the hidden states; here it has the
example's width, so that the work is the same.

References:
    [nanoGPT](https://github.com/karpathy/nanoGPT).
"""

import torch
from torch import nn
from torch.nn import functional

NO_LABEL = -1
"""Where there is no word to predict."""


class Block(nn.Module):
    """Causal self-attention and a feed-forward network, each added to what went in."""

    def __init__(self, embed_dim: int, num_heads: int, feed_forward_dim: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.query_key_value = nn.Linear(embed_dim, 3 * embed_dim)
        self.attention_output = nn.Linear(embed_dim, embed_dim)
        self.feed_forward_norm = nn.LayerNorm(embed_dim)
        self.expansion = nn.Linear(embed_dim, feed_forward_dim)
        self.contraction = nn.Linear(feed_forward_dim, embed_dim)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Keep (batch, length, embed_dim)."""
        batch, length, embed_dim = states.shape
        projected = self.query_key_value(self.attention_norm(states)).view(
            batch, length, 3, self.num_heads, -1
        )
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # (batch, head, length, head_dim) each
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True
        )
        attended = attended.transpose(1, 2).reshape(batch, length, embed_dim)
        states = states + functional.dropout(self.attention_output(attended), self.dropout, self.training)
        worked = self.contraction(functional.gelu(self.expansion(self.feed_forward_norm(states))))
        return states + functional.dropout(worked, self.dropout, self.training)


class NanoGPT(nn.Module):
    """The model, with its loss."""

    def __init__(
        self,
        *,
        vocabulary_size: int,
        sequence_length: int,
        embed_dim: int,
        num_heads: int,
        feed_forward_dim: int,
        num_blocks: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.token_embedding = nn.Embedding(vocabulary_size, embed_dim)
        self.position_embedding = nn.Embedding(sequence_length, embed_dim)
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, feed_forward_dim, dropout) for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.output_layer = nn.Linear(embed_dim, vocabulary_size, bias=False)
        self.output_layer.weight = self.token_embedding.weight
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of the words, from int64 (batch, length) of inputs and labels."""
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        states = self.token_embedding(inputs) + self.position_embedding(positions)
        states = functional.dropout(states, self.dropout, self.training)
        for block in self.blocks:
            states = block(states)
        logits = self.output_layer(self.norm(states))  # (batch, length, vocabulary_size)
        return functional.cross_entropy(
            logits.view(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=NO_LABEL
        )


def make_optimizer(model: NanoGPT) -> torch.optim.Optimizer:
    """Make nanoGPT's AdamW."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    on_gpu = parameters[0].is_cuda
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=on_gpu or None)


def take_step(
    model: NanoGPT,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    precision: torch.dtype,
) -> float:
    """Train on a batch.

    Args:
        model: The model.
        optimizer: Of the model.
        inputs: int64, (batch, length).
        labels: int64, (batch, length); `NO_LABEL` counts nothing.
        precision: Of the products; `torch.float32`, or `torch.bfloat16` by autocast.

    Returns:
        The mean loss of the words, in nats.
    """
    with torch.autocast(inputs.device.type, dtype=precision, enabled=precision != torch.float32):
        loss = model(inputs, labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())
