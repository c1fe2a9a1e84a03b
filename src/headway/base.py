"""What everything else stands on: configuration sections, errors that a user can act on, the project's root folder."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class HeadwayError(ValueError):
    """Something a user can mend. Its text is one line: the rule, then the fact, then the fix."""

    exit_code = 1


class ConfigError(HeadwayError):
    """The project's YAML, a command-line setting or the environment is wrong."""

    exit_code = 2


class DataError(HeadwayError):
    """The data cannot be read, or breaks a rule that the project states."""

    exit_code = 3


class TrainingError(HeadwayError):
    """Training could not finish."""

    exit_code = 4


class DamagedError(HeadwayError):
    """A file that Headway wrote is not what it wrote: cut, changed or gone. The text names the file and what helps."""

    exit_code = 5


def named(error: OSError, path: Path) -> OSError:
    """The error with the file that it is about: one of writing names none."""
    if error.filename is None:
        error.filename = str(path)
    return error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError of the block names this file, where it names none."""
    try:
        yield
    except OSError as error:
        named(error, path)
        raise


class Config(BaseModel):
    """A frozen section of a project; each subclass lives beside what it configures."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Build from plain values. Raises ConfigError, one line a problem, each starting with ``where``."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [f"{where}: {_describe(cls, problem)}" for problem in _merged(error.errors())]
            raise ConfigError("\n".join(dict.fromkeys(lines))) from None


_WORD = re.compile(r"literal\[(.*)\]")


def _merged(problems: Iterable[Any]) -> list[dict[str, Any]]:
    """A number-or-word setting fails twice, once as each: as one problem, at the place that the user wrote."""
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for problem in problems:
        loc = problem["loc"]
        last = str(loc[-1]) if loc else ""
        word = _WORD.fullmatch(last)
        place = loc[:-1] if word or last in ("constrained-int", "int", "constrained-float", "float") else loc
        key = place if place is not loc else (*loc, problem["type"])
        if word and key in merged:
            merged[key]["or"] = word[1]
        else:
            merged[key] = {**problem, "loc": place}
    return list(merged.values())


_NEEDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a section of settings",
    "model_attributes_type": "a section of settings",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _describe(cls: type[BaseModel], problem: Any) -> str:
    """One pydantic problem as `path must be X, however it is Y`."""
    kind, found = problem["type"], problem.get("input")
    path, section = _locate(cls, problem["loc"])
    if kind == "extra_forbidden":
        name = str(problem["loc"][-1])
        return f"{path}: no such setting{suggest(name, list(section.model_fields))}"
    if kind == "missing":
        return f"{path} must be given, however it is missing"
    context = problem.get("ctx", {})
    for bound, words in _BOUNDS.items():
        if bound in context:
            return f"{path} must be {words} {context[bound]:g}, however it is {found!r}"
    if kind in ("literal_error", "enum"):
        return f"{path} must be one of {context['expected']}, however it is {found!r}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name = str(context["discriminator"]).strip("'")
        known = context.get("expected_tags", "?")
        return f"{path}.{name} must be one of {known}, however it is {_tag(found, name)!r}"
    if kind == "value_error":
        return f"{path}: {context['error']}" if path else str(context["error"])
    if kind in _NEEDS:
        word = f" or {problem['or']}" if "or" in problem else ""
        return f"{path} must be {_NEEDS[kind]}{word}, however it is {found!r}"
    return f"{path}: {problem['msg']}, however it is {found!r}"


def _tag(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, Mapping) else found


def _locate(cls: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[str, type[BaseModel]]:
    """The dotted path that a user wrote, and the section class that owns its last name.

    A tagged union adds its tag to pydantic's location; nobody wrote that, so it is left out.
    """
    words: list[str] = []
    section = cls
    choices: dict[str, type[BaseModel]] = {}
    for part in loc:
        if isinstance(part, str) and part in choices:
            section, choices = choices[part], {}
            continue
        words.append(f"[{part}]" if isinstance(part, int) else f".{part}")
        field = section.model_fields.get(str(part))
        choices = {}
        if field is not None:
            models = [c for c in _classes(field.annotation) if isinstance(c, type) and issubclass(c, BaseModel)]
            if len(models) == 1:
                section = models[0]
            choices = {str(m.model_fields["name"].default): m for m in models if "name" in m.model_fields}
    return "".join(words).lstrip("."), section


def _classes(annotation: Any) -> list[Any]:
    """Every class named in an annotation, unions and containers flattened."""
    inner = getattr(annotation, "__args__", None)
    return [annotation] if not inner else [c for part in inner for c in _classes(part)]


def suggest(name: str, known: list[str]) -> str:
    """`; did you mean width?` when one of ``known`` is close to ``name``, else the list of what there is."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(sorted(known))}" if 0 < len(known) <= 20 else ""


def find_root(start: Path | None = None) -> Path:
    """The nearest folder upward that has `conf/`. Raises ConfigError when there is none."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "conf").is_dir():
            return folder
    raise ConfigError(f"a project folder must contain conf/, however neither {start} nor any folder above it does")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping. Raises ConfigError on what is not there, not YAML, or not a mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} must exist, however there is no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} must be UTF-8 text, however byte {error.start} is not") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} must be YAML, however{line}: {getattr(error, 'problem', error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, however it holds {type(values).__name__}")
    return values


def digest(value: Any) -> str:
    """SHA-256 of a JSON-like value in canonical form, 16 hex digits: enough for 10^9 names without a clash."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write so that a reader finds the old content or the new, never a part: temporary name, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.filename is None or os.fspath(error.filename) == str(partial):  # a name that no user knows
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # where the folder can only be read, it is not there
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, readable by people."""
    write_atomically(path, json.dumps(value, indent=1, default=str, allow_nan=False) + "\n")


def read_json(path: Path, kind: type = dict) -> Any:
    """Read what write_json wrote. Raises DamagedError where it is no JSON, or its value is not of this kind."""
    content = path.read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise DamagedError(f"{path} must be JSON, but {_damage(content)}; headway doctor finds what else") from None
    if not isinstance(value, kind):
        fact = f"it holds {type(value).__name__}"
        raise DamagedError(f"{path} must hold {kind.__name__}, but {fact}; headway doctor finds what else")
    return value


def _damage(content: bytes) -> str:
    if not content.strip(b"\0"):
        return "it holds only zeros" if content else "it is empty"
    return "it is cut or changed"


def read_or_empty(path: Path) -> dict[str, Any]:
    """As read_json; an empty mapping where the file is gone or damaged, for what can be done without it."""
    try:
        return dict(read_json(path))
    except (OSError, DamagedError):
        return {}


def moment(seconds: float | None = None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time as people read it: `2026-11-26 22:30 UTC`. None is now.

    Every name, line and page has its times from here or from `stamp`: in one zone, and with the zone beside them.
    """
    return time.strftime(f"{form} UTC", time.gmtime(seconds))


def stamp() -> str:
    """Now, for the name of a file: `20261126-223015Z`. Z is UTC; in a local zone, names of an October night do not sort."""
    return time.strftime("%Y%m%d-%H%M%SZ", time.gmtime())
