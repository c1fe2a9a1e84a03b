"""The learning rate rises to three times its value and falls to almost nothing over the run."""

from headway.effect.technique import Setting, Technique

TIMES = 3


def _edit(setting: Setting) -> dict[str, object]:
    rate = setting.recipe.learning_rate * (1 if setting.recipe.schedule == "one_cycle" else TIMES)
    return {"schedule": "one_cycle", "learning_rate": rate, "warmup": 0.0}


TECHNIQUE = Technique(
    name="one-cycle",
    sentence="The learning rate rises to three times its value and falls to almost nothing over the run.",
    reference="Smith and Topin 2018, arXiv:1708.07120",
    part="nothing",
    changes="maths",
    edit=_edit,
)
