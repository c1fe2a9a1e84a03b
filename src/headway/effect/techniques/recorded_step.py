"""A step's kernels recorded once and called one after another."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return "needs training on a CPU; on a GPU, CUDA graphs do it" if setting.device == "cuda" else None


TECHNIQUE = Technique(
    name="recorded step",
    sentence="A step's kernels recorded once and called one after another, without modules and autograd between them.",
    reference="https://docs.pytorch.org/docs/stable/notes/extending.html#extending-all-torch-api-with-torchdispatchmode",
    part="compute",
    changes="nothing",
    edit=lambda _: {"record": True},
    lacks=_lacks,
)
