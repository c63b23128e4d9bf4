"""Random numbers that depend on a seed and a purpose only, never on what was drawn before.

Each use (the weights, the order of epoch 7, the growth at step 300) has its own stream. Rewinding and
resuming therefore need no saved generator state, and adding one random draw changes no other.
"""

import contextlib
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch

__all__ = ["derive", "generator", "numpy_generator", "reseed", "seeded"]


def derive(seed: int, purpose: str, *indices: int) -> int:
    """Return a 63-bit seed for one purpose.

    Parameters
    ----------
    seed
        The seed of the run.
    purpose
        What the numbers are for, for example ``"order"``.
    indices
        Further coordinates: an epoch, a step, the number of a layer.
    """
    # A spawn key, because trailing zeros of the entropy itself do not count: epoch 3 and epoch 3, layer 0 would agree.
    sequence = np.random.SeedSequence([seed, zlib.crc32(purpose.encode())], spawn_key=indices)
    words = sequence.generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


def generator(device: torch.device | str, seed: int, purpose: str, *indices: int) -> torch.Generator:
    """Return a fresh generator on `device` for one purpose."""
    return torch.Generator(device).manual_seed(derive(seed, purpose, *indices))


def numpy_generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return a fresh NumPy generator for one purpose."""
    return np.random.default_rng(derive(seed, purpose, *indices))


def reseed(seed: int, devices: Iterable[torch.device]) -> None:
    """Seed torch's global generators, from which models draw: that of the CPU, and those of the given devices.

    Parameters
    ----------
    seed
        From `derive`.
    devices
        Those that a model is on; the CPU may be among them.
    """
    # Not torch.manual_seed, which would seed the generators of all devices, those that nobody puts back too.
    torch.default_generator.manual_seed(seed)
    for device in devices:
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int, purpose: str, *indices: int) -> Iterator[None]:
    """Seed torch's global CPU generator inside the block and put its state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        reseed(derive(seed, purpose, *indices), [])
        yield
