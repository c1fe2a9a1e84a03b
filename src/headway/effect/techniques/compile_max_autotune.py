"""The network compiled, each kernel chosen by trials."""

from headway.effect.technique import Technique, needs_compiler

TECHNIQUE = Technique(
    name="compile max-autotune",
    sentence="The network compiled, each kernel chosen by trials.",
    reference="Ansel et al. 2024, doi:10.1145/3620665.3640366",
    part="compute",
    changes="nothing",
    edit=lambda _: {"compile": "max-autotune"},
    lacks=needs_compiler,
)
