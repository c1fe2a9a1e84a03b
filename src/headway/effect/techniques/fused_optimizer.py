"""One kernel updates all weights, instead of several kernels for each weight."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return "muon has no fused kernel" if setting.recipe.optimizer == "muon" else None


TECHNIQUE = Technique(
    name="fused optimizer",
    sentence="One kernel updates all weights, instead of several kernels for each weight.",
    reference="https://docs.pytorch.org/docs/stable/optim.html",
    part="optimizer",
    changes="nothing",
    edit=lambda _: {"optimizer_kernel": "fused"},
    lacks=_lacks,
)
