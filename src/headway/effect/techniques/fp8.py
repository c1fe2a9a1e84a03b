"""Linear layers in eight-bit floating point, by torchao."""

from headway.effect.technique import Setting, Technique, needs_gpu


def _lacks(setting: Setting) -> str | None:
    return needs_gpu(setting, (8, 9)) or (None if setting.torchao else "needs the package torchao")


TECHNIQUE = Technique(
    name="fp8",
    sentence="Linear layers in eight-bit floating point, by torchao.",
    reference="Micikevicius et al. 2022, arXiv:2209.05433",
    part="compute",
    changes="rounding",
    edit=lambda _: {"precision": "fp8"},
    lacks=_lacks,
)
