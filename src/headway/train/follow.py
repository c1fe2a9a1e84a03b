"""Follow a training: journal what it yields, save checkpoints, go on from them, step back when the loss or a recorded step is wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from headway.errors import TrainingError
from headway.run.directory import RunDirectory
from headway.train.checkpoint import CheckpointWriter, check_continues, load_newest
from headway.train.diagnosis import Diagnosis
from headway.train.loop import NonFinite, Training
from headway.train.recording import Misrecorded
from headway.train.threads import KeptThreads

POINTS_AN_EPOCH = 10
"""How often the training loss is sent off within an epoch; it is journaled once it has arrived."""

POINT_SECONDS = 10.0
"""And at least so often, for epochs that take hours."""

PROGRESS_SECONDS = 0.5
RATE_AFTER_LOSS = 0.1
"""What is left of the learning rate after a loss that was not finite."""


class Follower:
    """One training in one run directory."""

    def __init__(
        self, run: RunDirectory, training: Training, identity: Mapping[str, str], threads: KeptThreads | None = None
    ) -> None:
        """``threads``: chooses their number while the training goes on; without, it stays as it is."""
        self._run, self._training, self._identity = run, training, dict(identity)
        self._threads = threads
        self._journal = run.journal()
        self._writer = CheckpointWriter(run.checkpoints)
        self._last_steps = _last_steps(run)
        self._every = max(1, training.batches.steps // POINTS_AN_EPOCH)
        self._compiled = False
        self._saved = self._shown = self._pointed = time.perf_counter()

    def follow(self, way: str = "") -> None:
        """Train to the end; ``way`` says how steps run. Raises TrainingError when the loss becomes non-finite a second time."""
        if way:
            self._journal.write("stage", name="way", step=0, text=way)
        try:
            self._train()
        except BaseException:
            self._journal.close()
            raise

    def _train(self) -> None:
        try:
            checkpoint = load_newest(self._run.checkpoints, lambda text: self._journal.write("warning", text=text))
            if checkpoint is not None:
                self._continue(*checkpoint)
                self._journal.write("stage", name="resumed", step=self._training.progress.step)
            while True:
                try:
                    self._run_on()
                    return
                except Misrecorded as error:
                    self._train_unrecorded(error)
                except NonFinite as error:
                    self._lower_rate(error)
        finally:
            self._writer.close()
            self._checkpointed(self._writer.wait())
            self._journal.flush()

    def conclude(self, cost: Mapping[str, float], diagnosis: Diagnosis) -> None:
        """Tell what the training cost and where its time went."""
        step = self._training.progress.step
        values = {name: value for name, value in cost.items() if name not in self._last_steps}
        self._journal.write("metric", step=step, values=values)
        self._journal.write("stage", name="diagnosis", step=step, text=diagnosis.text, setting=diagnosis.setting)
        self._journal.close()

    def _run_on(self) -> None:
        if not self._training.progress.step:
            self._save()  # what a loss that is lost early goes back to
        progress, steps, every, clock = (
            self._training.progress,
            self._training.batches.steps,
            self._every,
            time.perf_counter,
        )
        due = clock() + PROGRESS_SECONDS
        threads = self._threads
        for what in self._training.run():
            if threads is not None and progress.step == threads.next and what == "step":
                threads.repeat(progress.step)
            if what == "validation":
                self._validation()
            elif progress.step_in_epoch % every == 0 or progress.step_in_epoch == steps:
                self._point()
            elif clock() < due:
                continue
            if threads is not None and what == "step":  # before a validation, as where it is repeated
                threads.look(progress.step, self._training.meter.steps, self._training.meter.seconds)
            due = self._now_and_then(clock())
        self._save()

    def _now_and_then(self, now: float) -> float:
        """What is due by the clock. Returns when to come again."""
        training = self._training
        for text in training.step.notices:
            self._journal.write("warning", text=text)
        training.step.notices.clear()
        compiled = training.step.compiled
        if compiled is not None and compiled.proven and not self._compiled:
            self._compiled = True
            text = f"compiling took {compiled.seconds:.3g} s"
            self._journal.write("stage", name="compiled", step=training.progress.step, text=text)
        if now - self._pointed >= POINT_SECONDS and training.step.loss_steps:
            self._point()
        if now - self._shown >= PROGRESS_SECONDS:
            self._shown = now
            self._journal.write("progress", **self._position())
            self._journal.flush()
            self._checkpointed(self._writer.poll())
        if now - self._saved >= training.recipe.checkpoint_seconds:
            self._save()
        return min(self._shown + PROGRESS_SECONDS, self._saved + training.recipe.checkpoint_seconds)

    def _point(self) -> None:
        self._pointed = time.perf_counter()
        self._training.mark_loss()
        self._tell_losses()

    def _tell_losses(self, wait: bool = False) -> None:
        for step, loss in self._training.losses(wait):
            self._tell({"train/loss": loss}, step)

    def _validation(self) -> None:
        training = self._training
        self._tell_losses(wait=True)  # the device has nothing to do any more
        values = {"validation/loss": training.validation_loss, "epoch": float(training.progress.epoch)}
        self._tell({**values, "rows_per_second": training.meter.per_second})
        self._shown = 0.0  # what it came to is always shown

    def _tell(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Journal what was not journaled before a restart; by default of the last step."""
        step = self._training.progress.step if step is None else step
        new = {name: value for name, value in values.items() if step > self._last_steps.get(name, 0)}
        if new:
            self._last_steps |= dict.fromkeys(new, step)
            self._journal.write("metric", step=step, values=new)

    def _position(self) -> dict[str, Any]:
        training, progress, recipe = self._training, self._training.progress, self._training.recipe
        steps = training.budget.steps
        if recipe.has_budget:
            text = f"step {progress.step:,} of at most {steps:,}"
            best = f"at step {progress.best_step:,}"
        else:
            text = f"epoch {min(progress.epoch + 1, recipe.epochs)} of at most {recipe.epochs}"
            best = f"in epoch {progress.best_epoch}"
        if progress.best_validation:
            text += f", best validation loss {progress.best_loss:.4f} {best}"
        return {"step": progress.step, "steps": steps, "epoch": progress.epoch, "epochs": recipe.epochs, "text": text}

    def _save(self) -> None:
        """Hand a snapshot to the writer, if the weights are worth keeping."""
        training = self._training
        running = training.meter.stop()
        self._saved = time.perf_counter()
        self._tell_losses(wait=True)
        if not training.is_finite:
            raise NonFinite(
                f"the loss must stay finite, but was not by step {training.progress.step}; lower train.learning_rate"
            )
        training.step.check()  # so that a wrong recording has somewhere right to go back to
        self._journal.flush()  # before the checkpoint: what it holds as done must have been journaled
        tensors, values = training.pack()
        self._checkpointed(self._writer.submit(training.progress.step, tensors, {**values, **self._identity}))
        if running:
            training.meter.resume()

    def _checkpointed(self, outcome: tuple[int, OSError | None] | None) -> None:
        """A full disk must not end a training: it goes on with the last good checkpoint, and says so."""
        if outcome is None:
            return
        step, error = outcome
        if error is None:
            self._journal.write("checkpoint", step=step)
        else:
            self._journal.write("warning", text=f"no checkpoint at step {step}: {error.strerror}; training continues")
        self._journal.flush()

    def _lower_rate(self, error: NonFinite) -> None:
        """After a non-finite loss: back to the last checkpoint with a lower learning rate, once."""
        lowered = self._training.progress.rate < 1.0
        failed_step = self._step_back(error, possible=not lowered)
        try:
            self._training.step.check()
        except Misrecorded as cause:  # then it is not the learning rate's fault
            self._unrecord(cause, failed_step)
            return
        progress = self._training.progress
        progress.rate = RATE_AFTER_LOSS
        self._resume_with(
            f"the loss was not finite by step {failed_step}: back to step {progress.step} with {RATE_AFTER_LOSS:g} of the learning rate"
        )

    def _train_unrecorded(self, error: Misrecorded) -> None:
        """After a wrong recording: back to the last checkpoint, which was checked, and on without recording."""
        self._unrecord(error, self._step_back(error))

    def _unrecord(self, error: Misrecorded, failed_step: int) -> None:
        self._training.step.stop_recording()
        step = self._training.progress.step
        self._last_steps = {
            name: min(last, step) for name, last in self._last_steps.items()
        }  # what follows is journaled anew: it was wrong
        self._resume_with(
            f"a recorded step was wrong by step {failed_step} ({error.difference}): back to step {step} without recording (train.record)"
        )

    def _step_back(self, error: TrainingError, possible: bool = True) -> int:
        """To the last checkpoint. Returns the step that was reached; raises the error's text where there is no way back."""
        self._checkpointed(self._writer.wait())
        snapshot = load_newest(self._run.checkpoints) if possible else None
        if snapshot is None:
            raise TrainingError(str(error)) from None
        self._training.meter.stop()
        failed_step = self._training.progress.step
        self._continue(*snapshot)
        return failed_step

    def _resume_with(self, warning: str) -> None:
        self._journal.write("warning", text=warning)
        self._journal.flush()
        self._save()  # so that a restart, too, goes on in the new way

    def _continue(self, tensors: dict[str, Any], values: dict[str, Any]) -> None:
        warning = check_continues(values, self._identity)
        if warning:
            self._journal.write("warning", text=warning)
        self._training.unpack(tensors, {k: v for k, v in values.items() if k not in self._identity})
        if self._threads is not None:
            self._threads.start(self._training.progress.step)


def _last_steps(run: RunDirectory) -> dict[str, int]:
    """The last step journaled for each metric: what is trained again after a restart is not journaled again."""
    steps: dict[str, int] = {}
    for event in run.events():
        for name in event.metrics:
            steps[name] = max(steps.get(name, 0), event.step)
    return steps
