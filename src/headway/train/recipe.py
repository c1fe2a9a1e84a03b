"""The recipe of a training: every efficiency feature is a plain field of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from headway.columns.spelling import spell
from headway.config import Config
from headway.tasks import PLAIN, Objective
from headway.tasks.objective import Scale

Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16", "fp8"]
Compile = Literal["auto", "none", "default", "reduce-overhead", "max-autotune"]
Loss = Literal["auto", "cross_entropy", "focal", "mse", "mae", "huber", "quantile", "poisson", "gamma", "tweedie"]
Schedule = Literal["constant", "linear", "cosine", "one_cycle"]


class Recipe(Config):
    """How a network is trained. Boosted trees use only the seed, the patience, the threads and the settings of loss and target."""

    epochs: int = Field(100, ge=1, le=100_000, description="The most passes over the training rows.")
    steps: int | None = Field(
        None, ge=1, description="The most optimizer steps, where the epochs have more; null: the epochs alone."
    )
    tokens: int | None = Field(
        None, ge=1, description="The most tokens, where the epochs have more; null: the epochs alone. Of documents."
    )
    validate_every: int | None = Field(
        None,
        ge=1,
        description="Optimizer steps from one validation to the next, which patience then counts; null: one after each epoch.",
    )
    batch_size: Annotated[int, Field(ge=1, le=10_000_000)] | Literal["auto"] = Field(
        256, description="Rows in one optimizer step; auto takes the smallest that fills the hardware."
    )
    optimizer: Literal["adamw", "sgd", "muon"] = Field(
        "adamw",
        description="The optimizer. muon is used for the hidden matrices only, with adamw for all other weights.",
    )
    optimizer_kernel: Literal["fused", "foreach", "plain"] = Field(
        "fused",
        description="fused: one kernel for all weights; foreach: one per operation; plain: one weight after the other.",
    )
    learning_rate: float = Field(0.001, gt=0, le=1000, description="Step size of the optimizer.")
    weight_decay: float = Field(0.0003, ge=0, le=100, description="Decoupled for adamw, L2 for sgd; never on biases.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    nesterov: bool = Field(False, description="Nesterov's momentum for sgd.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of adamw's mean of gradients.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of adamw's mean of squared gradients.")
    muon_learning_rate: float = Field(0.02, gt=0, le=1000, description="Step size of muon, for the hidden matrices.")
    muon_momentum: float = Field(0.95, ge=0, lt=1, description="Momentum of muon; less is enough for short trainings.")
    schedule: Schedule = Field("constant", description="How the step size changes over the run.")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Share of all steps in which the step size grows to its full value."
    )
    final_rate: float = Field(
        0.0, ge=0, le=1, description="Share of the step size left at the end of linear, cosine or one_cycle."
    )
    clip: float = Field(0.0, ge=0, description="Gradients longer than this are scaled down to it; 0: none is.")
    accumulate: int = Field(
        1, ge=1, le=65_536, description="Parts of a batch whose gradients are summed before one step."
    )
    checkpoint_activations: bool = Field(False, description="Compute activations twice instead of keeping them.")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of an exponential moving average of the weights, which then becomes the model; 0: no average.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each label spread over all classes.")
    channels_last: bool = Field(False, description="Image channels last in memory, the layout for tensor cores.")
    loss: Loss = Field(
        "auto",
        description="What is minimised: cross_entropy or focal for classes; for numbers mse, mae, huber, quantile, or poisson, gamma and "
        "tweedie, which predict a mean above 0; auto takes cross_entropy or mse.",
    )
    quantile: float = Field(
        0.5, ge=0.01, le=0.99, description="Which quantile the loss quantile predicts, in steps of 0.01."
    )
    huber_delta: float = Field(
        1.0, gt=0, description="The error from which the loss huber is linear, in standard deviations of the target."
    )
    tweedie_power: float = Field(
        1.5,
        ge=1.05,
        le=1.95,
        description="Power of the loss tweedie, in steps of 0.05: near 1 as poisson, near 2 as gamma.",
    )
    focal_gamma: float = Field(
        2.0,
        ge=0,
        le=10,
        description="How much less the loss focal counts rows that are predicted well; 0: cross_entropy.",
    )
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none",
        description="How much the rows of each class count in training. balanced: all classes count the same; or a number "
        "for each class, and 1 for a class without one. The probabilities then hold for data with classes of these weights.",
    )
    target_scale: Scale = Field(
        "linear",
        description="The scale on which a number is learnt: log needs values above 0, log1p above -1. Predictions are in the "
        "unit of the target; with mse and log they estimate the median rather than the mean.",
    )
    change_since: Literal["auto", "none", "newest", "season"] = Field(
        "auto",
        description="For time series, what is learnt. none: the target; newest: its change since the newest known target; season: its "
        "change since the target one season before; auto: the one with which fast trees forecast the validation rows best.",
    )
    precision: Precision = Field(
        "auto", description="Number format of the arithmetic; auto takes bf16 or fp16 only where the hardware has them."
    )
    compile: Compile = Field(
        "auto",
        description="Whether and how torch.compile compiles the network; auto compiles large ones that train for long.",
    )
    cuda_graphs: bool | Literal["auto"] = Field(
        "auto", description="Replay the whole step as one CUDA graph; auto does so where that is faster."
    )
    record: bool | Literal["auto"] = Field(
        "auto",
        description="Record the kernels of one step, and call only these in later steps; on a CPU without compile. "
        "auto records short steps.",
    )
    residence: Literal["auto", "device", "stream", "loader"] = Field(
        "auto",
        description="Where the rows are: on the device, or read ahead from disk; auto: on the device if they fit in half of its memory. "
        "loader collates single rows as PyTorch's DataLoader does, for comparison.",
    )
    workers: int = Field(2, ge=1, le=64, description="Threads that read ahead when rows are streamed.")
    patience: int = Field(16, ge=1, description="Epochs without a better validation loss before training stops.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the weights, the batches and dropout.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto takes a GPU if there is one."
    )
    checkpoint_seconds: float = Field(30.0, gt=0, description="Seconds between checkpoints.")
    threads: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = Field(
        "auto",
        description="CPU threads. auto, or 0, takes one for small steps, otherwise one for each physical core, and fewer while other "
        "processes use the cores. The last bits of the weights can depend on the number; a resumed training uses the same one.",
    )
    keep_memory: bool = Field(True, description="Keep freed memory from step to step; only on a CPU, and with glibc.")
    price_per_hour: float = Field(
        0.0, ge=0, description="Price of an hour of this machine, in any currency; 0 if unknown."
    )

    @property
    def objective(self) -> Objective:
        """What is minimised, before it is fitted to a target."""
        own = Objective(
            self.loss, self.target_scale, self.quantile, self.huber_delta, self.tweedie_power, self.focal_gamma
        )
        return PLAIN if own.is_plain else own

    @property
    def has_budget(self) -> bool:
        """Whether steps bound or divide the training, beside epochs."""
        return not (self.steps is None and self.tokens is None and self.validate_every is None)

    @property
    def compiles(self) -> bool:
        """Whether the network is compiled; not while that is left to be chosen."""
        return self.compile not in ("auto", "none")

    @field_validator("class_weights", mode="before")
    @classmethod
    def _spelt(cls, value: Any) -> Any:
        """Classes are spelt as the target's are: 1.0 is 1."""
        return {spell(str(name)): weight for name, weight in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _objective_is_whole(self) -> Recipe:
        """Every setting of a loss has an effect, and metrics have names for the quantile and the power."""
        fields = type(self).model_fields
        for name, loss in (
            ("quantile", "quantile"),
            ("huber_delta", "huber"),
            ("tweedie_power", "tweedie"),
            ("focal_gamma", "focal"),
        ):
            if self.loss != loss and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} must come with loss {loss}, but the loss is {self.loss}")
        for name, step in (("quantile", 0.01), ("tweedie_power", 0.05)):
            steps = getattr(self, name) / step
            if abs(steps - round(steps)) > 1e-6:
                raise ValueError(f"{name} must be in steps of {step:g}, but is {getattr(self, name):g}")
        if self.loss == "focal" and self.label_smoothing:
            raise ValueError(f"label_smoothing must be 0 with loss focal, but is {self.label_smoothing:g}")
        if self.objective.has_log_link and self.target_scale != "linear":
            raise ValueError(
                f"target_scale must be linear with loss {self.loss}, whose outputs are logarithms already, but is {self.target_scale}"
            )
        return self

    @model_validator(mode="after")
    def _belongs_together(self) -> Recipe:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov must come with optimizer sgd and a momentum, but it does not")
        if self.cuda_graphs is True and self.precision == "fp16":
            raise ValueError("cuda_graphs must not come with precision fp16, whose scaler decides on the CPU; set bf16")
        if self.cuda_graphs is True and self.accumulate > 1:
            raise ValueError("cuda_graphs must not come with accumulate, but it is above 1")
        return self
