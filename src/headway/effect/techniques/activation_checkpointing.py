"""Activations are computed twice instead of kept. This saves memory and costs time."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="activation checkpointing",
    sentence="Activations are computed twice instead of kept. This saves memory and costs time.",
    reference="Chen et al. 2016, arXiv:1604.06174",
    part="nothing",
    changes="nothing",
    edit=lambda _: {"checkpoint_activations": True},
)
