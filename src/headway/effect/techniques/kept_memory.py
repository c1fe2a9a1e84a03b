"""Memory that stays in the process."""

from headway.effect.technique import Setting, Technique


def _lacks(setting: Setting) -> str | None:
    return "the GPU keeps its memory by itself" if setting.device == "cuda" else None


TECHNIQUE = Technique(
    name="kept memory",
    sentence="Freed memory stays in the process between steps instead of going back to the system.",
    reference="https://man7.org/linux/man-pages/man3/mallopt.3.html",
    part="arithmetic",
    changes="nothing",
    edit=lambda _: {"keep_memory": True},
    lacks=_lacks,
)
