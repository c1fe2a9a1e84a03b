"""Predictions by compiled code."""

from headway.effect.technique import Technique, needs_compiler

TECHNIQUE = Technique(
    name="compiled prediction",
    sentence="Predictions of the network compiled by torch.compile.",
    reference="Ansel et al. 2024, doi:10.1145/3620665.3640366",
    part="compute",
    changes="rounding",
    edit=lambda _: {},
    lacks=needs_compiler,
    measure="prediction",
)
