"""Gradients longer than one are scaled down to it."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="gradient clipping",
    sentence="Gradients longer than one are scaled down to it.",
    reference="Pascanu et al. 2013, arXiv:1211.5063",
    part="nothing",
    changes="maths",
    edit=lambda _: {"clip": 1.0},
)
