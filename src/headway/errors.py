"""Errors that a user can correct: each kind with its exit code."""

from __future__ import annotations


class HeadwayError(ValueError):
    """An error that a user can correct. Its text is one line: the rule, then the fact, then the fix."""

    exit_code = 1


class ConfigError(HeadwayError):
    """The project's YAML, a command-line setting or the environment is wrong."""

    exit_code = 2


class DataError(HeadwayError):
    """The data cannot be read, or does not meet an expectation of the project."""

    exit_code = 3


class TrainingError(HeadwayError):
    """Training could not finish."""

    exit_code = 4


class DamagedError(HeadwayError):
    """A file that Headway wrote is damaged: cut, changed or missing. The text names the file and the command that helps."""

    exit_code = 5
