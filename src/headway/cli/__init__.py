"""The commands: `headway ...`.

commands      what each word does; the longer ones in
retraining    run, resume
operating     up, status, down, backup, restore, doctor, gc, deploy
overview      list, show, sample
arguments     their options and help
aftermath     what killed processes left, brought to its end before a command
"""


def main() -> int:
    """Run the command of this process's arguments; its exit code."""
    from headway.cli.commands import main as run

    return run()
