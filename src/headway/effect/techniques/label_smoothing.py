"""A twentieth of each label is spread over all classes."""

from headway.effect.technique import Setting, Technique
from headway.tasks import task_of


def _lacks(setting: Setting) -> str | None:
    return None if task_of(setting.task).has_classes else "needs classes"


TECHNIQUE = Technique(
    name="label smoothing",
    sentence="A twentieth of each label is spread over all classes.",
    reference="Szegedy et al. 2016, arXiv:1512.00567",
    part="nothing",
    changes="maths",
    edit=lambda _: {"label_smoothing": 0.05},
    lacks=_lacks,
)
