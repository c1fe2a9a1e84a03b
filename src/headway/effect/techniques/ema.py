"""An exponential moving average of the weights is kept."""

from headway.effect.technique import Setting, Technique


def _edit(setting: Setting) -> dict[str, float]:
    """A mean over about a fifth of an epoch, at most over a thousand steps."""
    steps = max(1, setting.rows // setting.batch_size)
    return {"ema": round(1 - 1 / min(1000.0, max(10.0, steps / 5)), 4)}


def _lacks(setting: Setting) -> str | None:
    return "the project's recipe has it already" if setting.recipe.ema else None


TECHNIQUE = Technique(
    name="EMA",
    sentence="An exponential moving average of the weights is kept.",
    reference="Polyak and Juditsky 1992; Morales-Brotons et al. 2024, arXiv:2411.18704",
    part="nothing",
    changes="maths",
    edit=_edit,
    lacks=_lacks,
)
