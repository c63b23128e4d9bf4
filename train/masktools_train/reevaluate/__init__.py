"""Put recorded structures to further use: train them again from other weights, prune them further."""
