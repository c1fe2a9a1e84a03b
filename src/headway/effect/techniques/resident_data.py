"""The rows are held on the device and shuffled there; rows are never handled one by one."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="resident data",
    sentence="The rows are held on the device and shuffled there; rows are never handled one by one.",
    reference="Mohan et al. 2021, arXiv:2007.06775, on data stalls",
    part="batches",
    changes="nothing",
    edit=lambda _: {"residence": "device"},
)
