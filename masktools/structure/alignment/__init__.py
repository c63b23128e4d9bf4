"""Networks up to the order of their hidden units: alignment, topological distance, symmetries of a pair."""
