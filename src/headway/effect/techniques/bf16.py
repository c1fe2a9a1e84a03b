"""Matrix products in bfloat16 under autocast, weights in fp32."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="bf16",
    sentence="Matrix products in bfloat16 under autocast, weights in fp32.",
    reference="Kalamkar et al. 2019, arXiv:1905.12322",
    part="compute",
    changes="rounding",
    edit=lambda _: {"precision": "bf16"},
)
