"""Blocks of rows are read ahead by threads while the step computes; rows are shuffled by blocks."""

from headway.effect.technique import Setting, Technique
from headway.tasks import has_target


def _lacks(setting: Setting) -> str | None:
    return "a text is not streamed in blocks" if not has_target(setting.task) else None


TECHNIQUE = Technique(
    name="prefetch",
    sentence="Blocks of rows are read ahead by threads while the step computes; rows are shuffled by blocks.",
    reference="Mohan et al. 2021, arXiv:2007.06775, on data stalls",
    part="batches",
    changes="maths",
    edit=lambda _: {"residence": "stream"},
    lacks=_lacks,
)
