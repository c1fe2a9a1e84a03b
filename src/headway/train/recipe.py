"""The recipe of a training: every efficiency feature is a plain field of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headway.base import Config

Precision = Literal["auto", "fp32", "bf16", "fp16"]


class Recipe(Config):
    """How a network is trained. Boosting uses only seed and patience."""

    epochs: int = Field(100, ge=1, le=100_000, description="Passes over the training rows at most.")
    batch_size: int = Field(256, ge=1, le=10_000_000, description="Rows in one optimizer step.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="The optimizer.")
    learning_rate: float = Field(0.001, gt=0, le=1000, description="Step size of the optimizer.")
    weight_decay: float = Field(0.0003, ge=0, le=100, description="Decoupled for adamw, L2 for sgd; never on biases.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    loss: Literal["auto", "cross_entropy", "mse"] = Field(
        "auto", description="What is minimised: cross_entropy for classes, mse for numbers; auto chooses by the task."
    )
    precision: Precision = Field(
        "auto", description="Number format of the arithmetic; auto takes bf16 or fp16 only where the hardware has them."
    )
    patience: int = Field(16, ge=1, description="Epochs without a better validation loss before training stops.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the weights, the batches and dropout.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto takes a GPU if there is one."
    )
    checkpoint_seconds: float = Field(30.0, gt=0, description="Seconds between checkpoints.")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads; 0 takes one for each physical core.")
