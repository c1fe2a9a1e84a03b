"""The learning rate grows over the first twentieth of the run and falls along a cosine."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="warm-up + cosine",
    sentence="The learning rate grows over the first twentieth of the run and falls along a cosine.",
    reference="Loshchilov and Hutter 2017, arXiv:1608.03983",
    part="nothing",
    changes="maths",
    edit=lambda _: {"schedule": "cosine", "warmup": 0.05},
)
