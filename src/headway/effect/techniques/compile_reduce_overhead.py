"""The network compiled, and on a GPU replayed as CUDA graphs."""

from headway.effect.technique import Technique, needs_gpu

TECHNIQUE = Technique(
    name="compile reduce-overhead",
    sentence="The network compiled, and on a GPU replayed as CUDA graphs.",
    reference="Ansel et al. 2024, doi:10.1145/3620665.3640366",
    part="compute",
    changes="nothing",
    edit=lambda _: {"compile": "reduce-overhead"},
    lacks=needs_gpu,
)
