"""Small networks of tokens, for comparisons with the pattern of zeros of a gradient."""

import torch
from torch import nn

functional = nn.functional


class SelfAttention(nn.Module):
    """Hand-written attention with one layer for queries, keys and values."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, inputs):
        batch, tokens, dim = inputs.shape
        parts = self.qkv(inputs).reshape(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        weights = ((query * 0.5) @ key.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, tokens, dim))


class ViT(nn.Module):
    """Patches, a class token, positions, pre-norm blocks."""

    def __init__(self, dim=8, heads=2, depth=2):
        super().__init__()
        self.patch = nn.Conv2d(2, dim, 2, 2)
        self.cls_token = nn.Parameter(torch.rand(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.rand(1, 7, dim))
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(dim),
                    "attn": SelfAttention(dim, heads),
                    "norm2": nn.LayerNorm(dim),
                    "mlp": nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)),
                }
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 3)

    def forward(self, inputs):
        tokens = self.patch(inputs).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(inputs), -1, -1), tokens], dim=1) + self.pos_embed
        for block in self.blocks:
            tokens = tokens + block["attn"](block["norm1"](tokens))
            tokens = tokens + block["mlp"](block["norm2"](tokens))
        return self.head(self.norm(tokens)[:, 0])


class Causal(nn.Module):
    """Attention that reads no later token, by a mask of minus infinity and by the option of the function."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(7)])

    def forward(self, inputs):
        query, key, value = (layer(inputs) for layer in self.layers[:3])
        later = torch.full((inputs.shape[1], inputs.shape[1]), -torch.inf, dtype=inputs.dtype).triu(1)
        inputs = inputs + functional.scaled_dot_product_attention(query, key, value, attn_mask=later)
        query, key, value = (layer(inputs).unflatten(2, (3, 2)).transpose(1, 2) for layer in self.layers[3:6])
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.layers[6](mixed.transpose(1, 2).flatten(2)[:, 2])


class Mixer(nn.Module):
    """Linear layers over tokens, then over features."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(2, 4, 2, 2)
        self.tokens = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 6))
        self.features = nn.Sequential(nn.Linear(4, 7), nn.GELU(), nn.Linear(7, 4))
        self.norms = nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4)])
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        hidden = self.patch(inputs).flatten(2).transpose(1, 2)
        hidden = hidden + self.tokens(self.norms[0](hidden).transpose(1, 2)).transpose(1, 2)
        hidden = hidden + self.features(self.norms[1](hidden))
        return self.head(hidden.mean(dim=1))


class Swin(nn.Module):
    """Attention within windows, which are shifted, and patches that are merged."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(2, 4, 1)
        self.attention = nn.ModuleList([SelfAttention(4, 2), SelfAttention(4, 2)])
        self.merge = nn.Linear(16, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = self.patch(inputs).permute(0, 2, 3, 1)
        batch, height, width, dim = hidden.shape
        for shift, attention in enumerate(self.attention):
            moved = torch.roll(hidden, shifts=(-shift, -shift), dims=(1, 2))
            windows = moved.view(batch, height // 2, 2, width // 2, 2, dim).permute(0, 1, 3, 2, 4, 5)
            windows = attention(windows.reshape(-1, 4, dim))
            windows = windows.view(batch, height // 2, width // 2, 2, 2, dim).permute(0, 1, 3, 2, 4, 5)
            windows = windows.reshape(batch, height, width, dim)
            hidden = hidden + torch.roll(windows, shifts=(shift, shift), dims=(1, 2))
        corners = [hidden[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.head(self.merge(torch.cat(corners, -1)).flatten(1, 2).mean(1))


class Encoder(nn.Module):
    """A layer of `torch.nn.TransformerEncoderLayer`, and cross-attention to its input with packed weights."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)
        self.cross = nn.MultiheadAttention(6, 3, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, inputs):
        hidden = self.layer(inputs)
        return self.head(self.cross(hidden[:, :2], inputs, inputs, need_weights=False)[0]).flatten(1)


TRANSFORMERS = {
    "vision transformer": (ViT, (2, 4, 6)),
    "causal": (Causal, (4, 6)),
    "mixer": (Mixer, (2, 4, 6)),
    "swin": (Swin, (2, 4, 4)),
    "encoder": (Encoder, (5, 6)),
}
"""How to build each network, and the shape of its input."""
