"""A vision transformer, with timm's names of parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.models.image_shape import image_shape

__all__ = ["VisionTransformer", "vit_tiny"]

NAME = "vit-tiny"


class PatchEmbedding(nn.Module):
    """A linear map of every patch: a convolution whose stride is its kernel."""

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, patch)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return tokens of shape (batch, patches, dim)."""
        tokens: Tensor = self.proj(inputs)
        return tokens.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention of several heads; queries, keys and values are one product, in that order."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the shape that came in, (batch, tokens, dim)."""
        batch, count, dim = tokens.shape
        parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, dim // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        joined: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, dim))
        return joined


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, on every token by itself."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        narrow: Tensor = self.fc2(nn.functional.gelu(self.fc1(tokens)))
        return narrow


class EncoderBlock(nn.Module):
    """Attention and a feed-forward part, each after a layer norm and beside an identity."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, 4 * dim)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        mixed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return mixed


class VisionTransformer(nn.Module):
    """Patches and a class token with learned positions, encoder blocks, and a linear layer on the class token.

    Linear weights and positions start as a normal distribution of deviation .02, truncated; linear biases at 0.

    Parameters
    ----------
    input_shape
        Channels, height, width.
    classes
        Number of outputs.
    patch
        Side of a patch; it divides height and width. None takes the largest of 16, 8, 4 and 2 that does and leaves at
        least 7 patches a side, else 1: 16 for 224 × 224, 4 for 32 × 32 and 28 × 28, 1 for 8 × 8.
    dim
        Size of a token, a multiple of `heads`.
    depth
        Number of encoder blocks.
    heads
        Heads of each attention.

    Raises
    ------
    RecipeError
        If the inputs are no images or an option does not fit.

    References
    ----------
    .. [1] Dosovitskiy et al., An Image is Worth 16x16 Words, arXiv 2010.11929.
    .. [2] Touvron et al., Training data-efficient image transformers, arXiv 2012.12877.
    """

    def __init__(
        self, input_shape: Sequence[int], classes: int, patch: int | None, dim: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        channels, height, width = image_shape(NAME, input_shape)
        if patch is None:
            patch = fitting_patch(height, width)
        for option, number in {"patch": patch, "dim": dim, "depth": depth, "heads": heads}.items():
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise RecipeError(f"model {NAME}: {option} must be a positive integer, got {number!r}")
        if height % patch or width % patch:
            raise RecipeError(f"model {NAME}: patch {patch} does not divide inputs of shape {tuple(input_shape)}")
        if dim % heads:
            raise RecipeError(f"model {NAME}: dim {dim} is no multiple of heads {heads}")
        patches = (height // patch) * (width // patch)
        self.patch_embed = PatchEmbedding(channels, dim, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, dim))
        self.blocks = nn.Sequential(*(EncoderBlock(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        nn.init.normal_(self.cls_token, std=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        tokens = self.patch_embed(inputs)
        start = self.cls_token.expand(tokens.shape[0], -1, -1)
        tokens = torch.cat([start, tokens], dim=1) + self.pos_embed
        logits: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


def fitting_patch(height: int, width: int) -> int:
    """Return the side of a patch that suits an image: see `VisionTransformer`."""
    for patch in (16, 8, 4, 2):
        if height % patch == 0 and width % patch == 0 and min(height, width) >= 7 * patch:
            return patch
    return 1


def vit_tiny(
    input_shape: Sequence[int],
    classes: int,
    patch: int | None = None,
    dim: int = 192,
    depth: int = 12,
    heads: int = 3,
) -> VisionTransformer:
    """Build a vision transformer; by default ViT-Ti of DeiT: 5,717,416 parameters for 224 × 224 and 1000 classes.

    Options are as for `VisionTransformer`.
    """
    return VisionTransformer(input_shape, classes, patch, dim, depth, heads)
