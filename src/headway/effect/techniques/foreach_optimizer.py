"""One call for each operation over all weights instead of one for each weight."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="foreach optimizer",
    sentence="One call for each operation over all weights instead of one for each weight.",
    reference="https://docs.pytorch.org/docs/stable/optim.html",
    part="optimizer",
    changes="nothing",
    edit=lambda _: {"optimizer_kernel": "foreach"},
)
