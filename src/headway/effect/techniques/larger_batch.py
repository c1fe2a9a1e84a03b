"""Four times the batch, and the learning rate scaled by the root of it."""

from headway.effect.technique import Setting, Technique

TIMES = 4


def _edit(setting: Setting) -> dict[str, float]:
    scale = TIMES if setting.recipe.optimizer == "sgd" else TIMES**0.5
    rates = {"learning_rate": setting.recipe.learning_rate * scale}
    if setting.recipe.optimizer == "muon":
        rates["muon_learning_rate"] = setting.recipe.muon_learning_rate * scale
    return {"batch_size": setting.batch_size * TIMES, **rates}


def _lacks(setting: Setting) -> str | None:
    few = setting.batch_size * TIMES * 10 > setting.rows
    return "an epoch would have fewer than ten steps" if few else None


TECHNIQUE = Technique(
    name="larger batch",
    sentence="Four times the batch, and the learning rate scaled by the root of it.",
    reference="Malladi et al. 2022, arXiv:2205.10287, on AdamW; Goyal et al. 2017, arXiv:1706.02677, on SGD",
    part="step",
    changes="maths",
    edit=_edit,
    lacks=_lacks,
)
