"""Each batch is computed in four parts and their gradients summed. This saves memory and costs time."""

from headway.effect.technique import Setting, Technique

PARTS = 4


def _lacks(setting: Setting) -> str | None:
    return f"needs batches of at least {PARTS}" if setting.batch_size < PARTS else None


TECHNIQUE = Technique(
    name="accumulation",
    sentence="Each batch is computed in four parts and their gradients summed. This saves memory and costs time.",
    reference="Goyal et al. 2017, arXiv:1706.02677, section 3",
    part="nothing",
    changes="nothing",
    edit=lambda _: {"accumulate": PARTS},
    lacks=_lacks,
)
