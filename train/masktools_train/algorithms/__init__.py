"""The training algorithms, one file each; a new one is its file and one line here."""

from collections.abc import Mapping

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.dense import Dense
from masktools_train.algorithms.dnw import DNW
from masktools_train.algorithms.ltr import LTR
from masktools_train.algorithms.rigl import RigL
from masktools_train.algorithms.static import Static

__all__ = ["DNW", "LTR", "REGISTRY", "Algorithm", "Dense", "RigL", "Static"]

REGISTRY: Mapping[str, type[Algorithm]] = {
    "dense": Dense,
    "static": Static,
    "rigl": RigL,
    "dnw": DNW,
    "ltr": LTR,
}
