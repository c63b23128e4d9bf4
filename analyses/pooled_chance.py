"""What goes wrong with one chance level for all layers together? Independent masks of ResNet-50, both ways.

    python analyses/pooled_chance.py --draws 20

Masks are random with the ERK number of active weights in every layer, so there is nothing to find. A chance level per
layer finds nothing; a chance level for the pooled weights finds overwhelming agreement, because the layers' densities
differ and both masks follow them.
"""

import argparse
import math

import numpy as np

import masktools as mt
import masktools_train as mtt

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def resnet50() -> dict[str, tuple[int, ...]]:
    """Return the shapes of ResNet-50's weights, by layer."""
    shapes: dict[str, tuple[int, ...]] = {"conv1": (64, 3, 7, 7)}
    before = 64
    for stage, (width, blocks) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1"] = (width, before, 1, 1)
            shapes[f"{name}.conv2"] = (width, width, 3, 3)
            shapes[f"{name}.conv3"] = (4 * width, width, 1, 1)
            if block == 0:
                shapes[f"{name}.downsample"] = (4 * width, before, 1, 1)
            before = 4 * width
    return {**shapes, "fc": (1000, before)}


def masks(density: float, seed: int) -> dict[str, mt.PackedMask]:
    """Return random masks with the ERK number of active weights in every layer."""
    rng, shapes = np.random.default_rng(seed), resnet50()
    found = {}
    for name, active in mtt.erk(shapes, density).items():
        mask = np.zeros(math.prod(shapes[name]), dtype=np.bool_)
        mask[rng.choice(mask.size, active, replace=False, shuffle=False)] = True
        found[name] = mt.PackedMask.from_bool(mask.reshape(shapes[name]))
    return found


def main() -> None:
    """Print z and kappa both ways for independent pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--draws", type=int, default=5, help="independent pairs")
    options = parser.parse_args()
    print("pair  z by layers  kappa by layers  z pooled  kappa pooled")
    for pair in range(options.draws):
        total = mt.overlap_of(masks(options.density, 2 * pair), masks(options.density, 2 * pair + 1)).total
        pooled = mt.Chance(total.size, total.active_a, total.active_b)
        z, kappa = pooled.z(total.intersection) or 0, pooled.kappa(total.intersection) or 0
        print(f"{pair:4d}  {total.z or 0:11.2f}  {total.kappa or 0:15.5f}  {z:8.1f}  {kappa:12.4f}")


if __name__ == "__main__":
    main()
