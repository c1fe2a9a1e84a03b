"""Matrix products in float16 under autocast, the loss scaled so that gradients do not underflow."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="fp16",
    sentence="Matrix products in float16 under autocast, the loss scaled so that gradients do not underflow.",
    reference="Micikevicius et al. 2018, arXiv:1710.03740",
    part="compute",
    changes="rounding",
    edit=lambda _: {"precision": "fp16"},
)
