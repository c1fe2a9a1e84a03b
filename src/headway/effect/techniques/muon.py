"""Hidden matrices are trained by Muon, with orthogonalised momentum, other weights by AdamW."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="Muon",
    sentence="Hidden matrices are trained by Muon, with orthogonalised momentum, other weights by AdamW.",
    reference="Jordan et al. 2024, https://kellerjordan.github.io/posts/muon",
    part="nothing",
    changes="maths",
    edit=lambda _: {"optimizer": "muon", "optimizer_kernel": "foreach"},
)
