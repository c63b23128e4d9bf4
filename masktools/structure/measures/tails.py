"""Whether the degrees of a layer have a heavy tail."""

from masktools.nulls.trial import Numbers
from masktools.structure.measures.family import Family, Term
from masktools.structure.measures.network import Network
from masktools.structure.wiring.heavy_tail import heavy_tails

__all__ = ["FAMILY"]

_MODELS = ("lognormal", "exponential", "binomial")


def _measure(network: Network) -> Numbers:
    numbers: dict[tuple[str, str], float | None] = {}
    for layer in network.layers:
        tails = heavy_tails(network.masks[layer], network.groups[layer])
        for side, fit in (("fan_in", tails.fan_in), ("fan_out", tails.fan_out)):
            numbers[f"{side}_tail_exponent", layer] = fit.exponent if fit else None
            ratios = {comparison.model: comparison.normalised for comparison in fit.comparisons} if fit else {}
            for model in _MODELS:
                numbers[f"{side}_power_law_or_{model}", layer] = ratios.get(model)
    return numbers


FAMILY = Family(
    "tails",
    "normalised log-likelihood ratio (Vuong) of a power law against lognormal, exponential and binomial degrees: above "
    "about 2 the power law fits the tail better, below about -2 worse",
    tuple(
        Term(f"{side}_{name}", f"{short} vs {model}" if model == "binomial" else "")
        for side, short in (("fan_in", "in"), ("fan_out", "out"))
        for name, model in (("tail_exponent", ""), *((f"power_law_or_{model}", model) for model in _MODELS))
    ),
    _measure,
)
