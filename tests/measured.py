"""What random masks are measured by in processes of their own: each of them imports this module, and starts quickly."""

from masktools.nulls.trial import TOTAL


def share_of_first_half(masks, weights):
    """Count the active weights in the first half of the rows."""
    counts = {("first", name): float(mask[: len(mask) // 2].sum()) for name, mask in masks.items()}
    counts["all", TOTAL] = float(sum(mask.sum() for mask in masks.values()))
    counts["undefined", TOTAL] = None
    if weights is not None:
        counts["weight", TOTAL] = float(sum(abs(weight).sum() for weight in weights.values()))
    return counts
