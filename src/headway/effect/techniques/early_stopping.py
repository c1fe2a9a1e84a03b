"""Training ends when the validation loss has not improved for a few epochs."""

from headway.effect.technique import Setting, Technique

PATIENCE = 3


def _edit(setting: Setting) -> dict[str, int]:
    patience = setting.recipe.patience
    return {"patience": patience if patience < setting.epochs else PATIENCE}


def _lacks(setting: Setting) -> str | None:
    few = setting.epochs <= _edit(setting)["patience"]
    return "the run has too few epochs to end early" if few else None


TECHNIQUE = Technique(
    name="early stopping",
    sentence="Training ends when the validation loss has not improved for a few epochs.",
    reference="Prechelt 1998, doi:10.1007/3-540-49430-8_3",
    part="nothing",
    changes="maths",
    edit=_edit,
    lacks=_lacks,
    measure="run",
)
