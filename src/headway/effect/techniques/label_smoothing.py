"""A twentieth of each label is spread over all classes."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return "needs classes" if setting.task == "regression" else None


TECHNIQUE = Technique(
    name="label smoothing",
    sentence="A twentieth of each label is spread over all classes.",
    reference="Szegedy et al. 2016, arXiv:1512.00567",
    part="nothing",
    changes="maths",
    edit=lambda _: {"label_smoothing": 0.05},
    lacks=_lacks,
)
