"""A project's YAML: finding it, its sections as frozen classes, `--set`, and one line for each mistake in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from headway.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Config(BaseModel):
    """A frozen section of a project; each subclass lives beside what it configures."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Build from plain values. Raises ConfigError, one line a problem, each starting with ``where``."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [f"{where}: {_describe(cls, problem)}" for problem in _merge(error.errors())]
            raise ConfigError("\n".join(dict.fromkeys(lines))) from None


_WORD = re.compile(r"literal\[(.*)\]")


@dataclass(frozen=True)
class _Problem:
    """What pydantic refuses, in its words; ``word``: what may stand there beside a number."""

    kind: str
    loc: tuple[int | str, ...]
    text: str
    value: Any
    context: Mapping[str, Any]
    word: str = ""


def _merge(problems: Iterable[ErrorDetails]) -> list[_Problem]:
    """Merge the two problems of a number-or-word setting, one for each type, at the place that the user wrote."""
    problems_by_place: dict[tuple[int | str, ...], _Problem] = {}
    for problem in problems:
        loc = problem["loc"]
        last = str(loc[-1]) if loc else ""
        word = _WORD.fullmatch(last)
        place = loc[:-1] if word or last in ("constrained-int", "int", "constrained-float", "float") else loc
        key = place if place is not loc else (*loc, problem["type"])
        if word and key in problems_by_place:
            problems_by_place[key] = replace(problems_by_place[key], word=word[1])
        else:
            kind, text, value = problem["type"], problem["msg"], problem["input"]
            problems_by_place[key] = _Problem(kind, place, text, value, problem.get("ctx", {}))
    return list(problems_by_place.values())


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


def _describe(cls: type[BaseModel], problem: _Problem) -> str:
    """One pydantic problem as `path must be X, but is Y`."""
    kind, value, context = problem.kind, problem.value, problem.context
    path, section = _locate(cls, problem.loc)
    if kind == "extra_forbidden":
        name = str(problem.loc[-1])
        return f"{path}: no such setting{suggest(name, list(section.model_fields))}"
    if kind == "missing":
        return f"{path} must be given, but is missing"
    for bound, words in _BOUNDS.items():
        if bound in context:
            return f"{path} must be {words} {context[bound]:g}, but is {value!r}"
    if kind in ("literal_error", "enum"):
        return f"{path} must be one of {context['expected']}, but is {value!r}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name = str(context["discriminator"]).strip("'")
        tags = context.get("expected_tags", "?")
        return f"{path}.{name} must be one of {tags}, but is {_tag(value, name)!r}"
    if kind == "value_error":
        return f"{path}: {context['error']}" if path else str(context["error"])
    if kind in _NEEDS:
        word = f" or {problem.word}" if problem.word else ""
        return f"{path} must be {_NEEDS[kind]}{word}, but is {value!r}"
    return f"{path}: {problem.text}, but is {value!r}"


def _tag(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else value


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


def suggest(name: str, names: list[str]) -> str:
    """`; did you mean width?` when one of ``names`` is close to ``name``, else the list of names."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(sorted(names))}" if 0 < len(names) <= 20 else ""


def find_root(start: Path | None = None) -> Path:
    """The nearest folder upward that has `conf/`. Raises ConfigError when there is none."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "conf").is_dir():
            return folder
    raise ConfigError(f"a project folder must contain conf/, but neither {start} nor any folder above it does")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping. Raises ConfigError for a missing file, and for one that is not YAML or not a mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} must exist, but there is no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} must be UTF-8 text, but byte {error.start} is not") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} must be YAML, but{line}: {getattr(error, 'problem', error)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, but it holds {type(values).__name__}")
    return values


def setting_pairs(settings: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Dotted names with their values, which are read as YAML where they are texts. Raises ConfigError."""
    if isinstance(settings, Mapping):
        return list(settings.items())
    pairs = []
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name.strip()):
            raise ConfigError(f"--set must be section.field=value, but is {text!r}")
        try:
            # a date's format is a text, though YAML takes the sign at a value's beginning for a directive; so is a mark such as , or ?
            is_text = value.startswith("%") or re.fullmatch(r"[^\w\s\[\]{}'\"~]+", value) is not None
            pairs.append((name.strip(), value if is_text else yaml.safe_load(value)))
        except yaml.YAMLError:
            raise ConfigError(f"--set {name}: the value must be YAML, but is {value!r}") from None
    return pairs


def put_setting(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one nested key. A model's settings belong to the model named, so another name starts from its defaults."""
    *sections, last = dotted.split(".")
    if dotted == "model":
        sections, last = ["model"], "name"
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {dotted}: {section} must be a section, but is {inner!r}")
        values = inner
    if sections == ["model"] and last == "name" and values.get("name", "mlp") != value:
        values.clear()
    values[last] = value
