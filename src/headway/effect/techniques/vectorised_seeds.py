"""Many seeds of a small network at once."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return None if setting.stackable else "needs a network of plain layers, and a recipe in fp32 with adamw"


TECHNIQUE = Technique(
    name="vectorised seeds",
    sentence="Sixteen seeds trained as one stacked network; the time is that of one of them.",
    reference="https://docs.pytorch.org/tutorials/intermediate/ensembling.html",
    part="arithmetic",
    changes="nothing",
    edit=lambda _: {},
    lacks=_lacks,
    measure="seeds",
)
