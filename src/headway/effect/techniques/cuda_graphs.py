"""The whole step recorded once and replayed with one launch."""

from headway.effect.technique import Technique, needs_gpu

TECHNIQUE = Technique(
    name="CUDA graphs",
    sentence="The whole step recorded once and replayed with one launch.",
    reference="https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs",
    part="step",
    changes="nothing",
    edit=lambda _: {"cuda_graphs": True},
    lacks=needs_gpu,
)
