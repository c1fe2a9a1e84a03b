"""The commands: `headway ...`.

commands      the entry point and the short commands; the others in
champions     watch, sample, score, serve, rollback
studies       seeds, effect
retraining    run, resume
operating     up, status, down, backup, restore, doctor, gc, deploy
overview      list, show, sample
reports       report
demo          demo
arguments     their options and help; examples: the explanations below them
reference     docs/reference.md, from all of these
answers       the JSON object of --json; keys: what its keys mean, by command
aftermath     finishes what killed processes left, before a command
"""


def main() -> int:
    """Run the command of this process's arguments; its exit code."""
    from headway.cli.commands import main as run

    return run()
