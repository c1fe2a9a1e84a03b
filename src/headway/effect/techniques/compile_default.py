"""The network compiled by torch.compile, its kernels fused."""

from headway.effect.technique import Technique, needs_compiler

TECHNIQUE = Technique(
    name="compile default",
    sentence="The network compiled by torch.compile, its kernels fused.",
    reference="Ansel et al. 2024, doi:10.1145/3620665.3640366",
    part="compute",
    changes="nothing",
    edit=lambda _: {"compile": "default"},
    lacks=needs_compiler,
)
