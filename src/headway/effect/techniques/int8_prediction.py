"""Predictions in eight bits."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return None if setting.torchao else "needs the package torchao"


TECHNIQUE = Technique(
    name="int8 prediction",
    sentence="Linear layers predict with weights and inputs in eight bits, by torchao.",
    reference="Dettmers et al. 2022, arXiv:2208.07339",
    part="compute",
    changes="rounding",
    edit=lambda _: {},
    lacks=_lacks,
    measure="prediction",
)
