"""Images with their channels last in memory, as convolutions on tensor cores read them."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return None if setting.convolutions else "needs a network of convolutions"


TECHNIQUE = Technique(
    name="channels-last",
    sentence="Images with their channels last in memory, as convolutions on tensor cores read them.",
    reference="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
    part="compute",
    changes="nothing",
    edit=lambda _: {"channels_last": True},
    lacks=_lacks,
)
