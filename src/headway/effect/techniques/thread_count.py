"""As many threads as the step can use."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    if setting.device == "cuda":
        return "the GPU does the arithmetic"
    return None if setting.cores > 1 else "there is one core"


TECHNIQUE = Technique(
    name="thread count",
    sentence="One thread for a small step, otherwise one for each physical core.",
    reference="https://docs.pytorch.org/docs/stable/notes/cpu_threading_torchscript_inference.html",
    part="arithmetic",
    changes="nothing",
    edit=lambda _: {"threads": "auto"},
    lacks=_lacks,
)
