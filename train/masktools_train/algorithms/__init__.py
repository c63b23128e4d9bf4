"""The training algorithms, one file each; a new one is its file and one line here."""

from collections.abc import Mapping

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.dense import Dense
from masktools_train.algorithms.dnw import DNW
from masktools_train.algorithms.edge_popup import EdgePopup
from masktools_train.algorithms.gmp import GMP
from masktools_train.algorithms.grasp import GraSP
from masktools_train.algorithms.ltr import LTR
from masktools_train.algorithms.rigl import RigL
from masktools_train.algorithms.set import SET
from masktools_train.algorithms.snfs import SNFS
from masktools_train.algorithms.snip import SNIP
from masktools_train.algorithms.static import Static
from masktools_train.algorithms.synflow import SynFlow

__all__ = [
    "DNW",
    "GMP",
    "LTR",
    "REGISTRY",
    "SET",
    "SNFS",
    "SNIP",
    "Algorithm",
    "Dense",
    "EdgePopup",
    "GraSP",
    "RigL",
    "Static",
    "SynFlow",
]

REGISTRY: Mapping[str, type[Algorithm]] = {
    "dense": Dense,
    "static": Static,
    "set": SET,
    "snfs": SNFS,
    "rigl": RigL,
    "dnw": DNW,
    "ltr": LTR,
    "gmp": GMP,
    "snip": SNIP,
    "grasp": GraSP,
    "synflow": SynFlow,
    "edge-popup": EdgePopup,
}
