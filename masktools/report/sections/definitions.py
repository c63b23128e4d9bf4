"""What each number is, by chance too, and where it is from."""

from masktools.report.markup import clean
from masktools.report.material import Material

__all__ = ["definitions"]

_TERMS: tuple[tuple[str, str, str], ...] = (
    (
        "Test accuracy, and guessing",
        "Share of the test examples that are classified rightly. Guessing, the chance level, is the share of the most "
        "frequent class: what always naming it comes to.",
        "Counts over the test examples; guessing is chance_accuracy of run.json.",
    ),
    (
        "Density",
        "Active weights over all weights of the layers that the mask covers; biases and norms do not count.",
        "Counts of the snapshot.",
    ),
    (
        "Kappa",
        "2 Σ(X − μ) / Σ(K₁ + K₂ − 2μ) over layers: X the weights active in both masks, K₁ and K₂ those active in "
        "either, μ = K₁K₂/N their expectation for independent masks of the same counts. 0 by chance, 1 for equal "
        "masks.",
        "Cohen, A coefficient of agreement for nominal scales (1960), stratified by layer.",
    ),
    (
        "Emergence epoch",
        "First epoch from which on kappa with the final mask stays at the threshold or above. Beyond the first "
        "mask: the same with the weights inside and outside of the first mask as separate strata.",
        "Question of Van Gelder, Wortsman and Ehsani, Deconstructing the Structure of Sparse Neural Networks (2020).",
    ),
    (
        "Early bird",
        "First epoch whose mask has kappa at the threshold or above with each of the four before it; needs no final "
        "mask.",
        "After You et al., Drawing Early-Bird Tickets (2019), with kappa in the place of the Hamming distance.",
    ),
    (
        "Random masks (null)",
        "Masks drawn in the place of a snapshot's that keep what the null says: counts of the network, of each "
        "layer, of each unit. The band is the central 95 % of them.",
        "Besag and Clifford, Generalized Monte Carlo significance tests (1989).",
    ),
    (
        "Survival and half-life",
        "Share of spells that last longer than so many epochs, spells that are still running at the end counted as "
        "such. By chance: as many weights of a layer die at each snapshot, drawn at random whatever their age.",
        "Kaplan and Meier, Nonparametric estimation from incomplete observations (1958); Greenwood's variance (1926).",
    ),
    (
        "Effective density",
        "Weights on a path from a network input to a network output, over all weights, through convolutions, "
        "pooling, sums and whatever else the recorded operator graph holds.",
        "Vysogorets and Kempe, Connectivity Matters (2023): one minus their effective sparsity.",
    ),
    (
        "Live, ghost and dead units",
        "A unit is live if an input reaches it and an output is reached from it; a ghost if only the latter, so "
        "that it emits a constant; dead if no output is reached from it.",
        "Definitions of masktools (docs/connectivity.md).",
    ),
    (
        "Degrees and binomial",
        "Active weights into each output unit, every tap of a kernel counted. The binomial has as many trials as a "
        "unit has weights, and the density of the layer: what density alone gives. The variance is that of the degrees "
        "over the binomial's, 1 on average in random masks of as many weights.",
        "Erdős and Rényi, On random graphs I (1959).",
    ),
    (
        "Trained again",
        "Test accuracy of the mask, held fixed, trained under the run's own recipe from the weights that the "
        "variant names.",
        "Structure alone, as in Van Gelder, Wortsman and Ehsani (2020).",
    ),
    (
        "Mask fixed early",
        "Test accuracy of the same training, from the same weights and in the same order, whose mask was kept from an "
        "epoch on; accuracy lost is that of the run itself less it, paired by run. Training FLOPs count active "
        "weights, and all weights where an algorithm needs the gradient of inactive ones; here as a share of those of "
        "the run itself.",
        "After You et al., Drawing Early-Bird Tickets (2019); FLOPs: Evci et al., Rigging the Lottery (2020).",
    ),
    (
        "Pruned further",
        "Test accuracy with a share of the active weights kept, those that rank highest by the criterion, with nothing "
        "else changed unless it says so. Half of the accuracy is lost where it is half way from that of the first "
        "share to guessing, interpolated over the logarithm of the share.",
        "Pruning by magnitude: Han et al., Learning both Weights and Connections (2015).",
    ),
    (
        "Intervals",
        "95 % Student t intervals of a mean. Where there are several runs, over runs and never over pairs of runs, "
        "which are not independent.",
        "Student, The probable error of a mean (1908).",
    ),
)


def definitions(material: Material) -> str:  # noqa: ARG001  # every section is called alike
    """Return the list of definitions, each with its source."""
    told = "".join(
        f"<dt>{clean(term)}</dt><dd>{clean(words)}</dd><dd>Source: {clean(source)}</dd>"
        for term, words, source in _TERMS
    )
    return f"<dl>{told}</dl>"
