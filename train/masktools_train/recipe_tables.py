"""The tables of a recipe: what can be said of the model, the data, the optimizer and the rest."""

from typing import Annotated, Any, Literal

import pydantic

__all__ = [
    "AlgorithmSpec",
    "ComputationSpec",
    "DataSpec",
    "Frozen",
    "ModelSpec",
    "OptimizerSpec",
    "OriginSpec",
    "ScheduleSpec",
    "SnapshotSpec",
]


class Frozen(pydantic.BaseModel):
    """A table that does not change, whose keys are all known, and whose numbers are finite."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Share = Annotated[float, pydantic.Field(gt=0, le=1)]
_Decay = Annotated[float, pydantic.Field(ge=0, lt=1)]


class ModelSpec(Frozen):
    """Which network: a built-in name or ``package.module:function``, and its keyword arguments."""

    name: str
    options: dict[str, Any] = {}


class DataSpec(Frozen):
    """Which data: a built-in name or ``package.module:function``, its arguments, and augmentation."""

    name: str
    options: dict[str, Any] = {}
    augment: tuple[Literal["crop", "flip", "shift"], ...] = ()
    shift: int = pydantic.Field(4, ge=1)


class OptimizerSpec(Frozen):
    """SGD or AdamW."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = pydantic.Field(0.1, gt=0)
    momentum: float = pydantic.Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = pydantic.Field(0.0, ge=0)
    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0)

    @pydantic.model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "OptimizerSpec":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class ScheduleSpec(Frozen):
    """How the learning rate changes; epochs may be fractions."""

    name: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = pydantic.Field(0.0, ge=0)
    milestones: tuple[float, ...] = ()
    gamma: float = pydantic.Field(0.1, gt=0)

    @pydantic.model_validator(mode="after")
    def _step_needs_milestones(self) -> "ScheduleSpec":
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("milestones (epochs) go with the schedule 'step', and it needs them")
        return self


class AlgorithmSpec(Frozen):
    """Which sparse training algorithm, how sparse, and its options."""

    name: str = "dnw"
    density: float = pydantic.Field(0.1, gt=0, le=1)
    distribution: str | None = None
    dense_layers: tuple[str, ...] = ()
    layer_densities: dict[str, _Share] = {}
    freeze_epoch: int | None = pydantic.Field(None, ge=0)
    freeze_when: str | None = None
    options: dict[str, Any] = {}


class SnapshotSpec(Frozen):
    """What each snapshot stores of the weights."""

    weights: Literal["active", "dense", "none"] = "active"
    dtype: Literal["float16", "float32"] = "float32"


class ComputationSpec(Frozen):
    """How the network is computed; every choice trains the same network, to rounding."""

    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    compile: Literal["no", "default", "reduce-overhead", "max-autotune"] = "no"
    fused: bool | None = None
    """One kernel for the whole optimizer step; None does so on CUDA."""
    deterministic: bool = False


class OriginSpec(Frozen):
    """Where the first masks came from, when a recorded structure is trained again."""

    variant: str
    run: str
    epoch: int
    masks_digest: str
    """Digest of all masks: what is trained again does not depend on where its run lies today."""
    options: dict[str, Any] = {}
    """What else the variant depends on."""
