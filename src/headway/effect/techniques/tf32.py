"""Matrix products with ten bits of mantissa on tensor cores."""

from headway.effect.technique import Technique, needs_gpu

TECHNIQUE = Technique(
    name="tf32",
    sentence="Matrix products with ten bits of mantissa on tensor cores.",
    reference="NVIDIA 2020, Ampere architecture white paper",
    part="compute",
    changes="rounding",
    edit=lambda _: {"precision": "tf32"},
    lacks=lambda setting: needs_gpu(setting, (8, 0)),
)
