"""A project's YAML: finding it, its sections as frozen classes, `--set`, and one line for each mistake in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
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

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Build from plain values. Raises ConfigError, one line a problem, each starting with ``where``."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [f"{where}: {_describe(cls, problem)}" for problem in _merge(error.errors(), values)]
            raise ConfigError("\n".join(dict.fromkeys(lines))) from None


_LABEL = re.compile(r"(constrained-)?(int|float|bool|str)|(literal|dict|tuple|list|nullable)\[.*\]")
"""What pydantic adds to a place for one type of several."""


@dataclass(frozen=True)
class _Problem:
    """What pydantic refuses, in its words; ``others``: what else may stand there."""

    kind: str
    loc: tuple[int | str, ...]
    text: str
    value: Any
    context: Mapping[str, Any]
    others: tuple[str, ...] = ()


def _merge(problems: Iterable[ErrorDetails], values: Mapping[str, Any]) -> list[_Problem]:
    """One problem for each place that the user wrote: of a setting of several types, pydantic has one for each type."""
    by_place: dict[tuple[object, ...], list[_Problem]] = {}
    for one in problems:
        loc = _place_of(one["loc"], values)
        problem = _Problem(one["type"], loc, one["msg"], one["input"], one.get("ctx", {}))
        key = (*loc, "") if len(loc) < len(one["loc"]) else (*loc, one["type"])
        by_place.setdefault(key, []).append(problem)
    merged = []
    for key, several in by_place.items():
        is_general = key[-1] == "" and any(
            len(other) > len(key) and other[: len(key) - 1] == key[:-1] for other in by_place
        )
        if not is_general:  # the problem within a mapping says more than that it might be a word
            words = [one for one in several if one.kind == "literal_error"]
            first, *rest = [one for one in several if one not in words] + words
            others = dict.fromkeys(_needs(one) for one in rest)
            merged.append(replace(first, others=tuple(others)))
    return merged


def _place_of(loc: tuple[int | str, ...], values: Any) -> tuple[int | str, ...]:
    """Where a user wrote what is refused: without the labels of types."""
    place: list[int | str] = []
    for part in loc:
        inside = values.get(part, values) if isinstance(values, Mapping) else values
        if isinstance(values, (list, tuple)) and isinstance(part, int) and part < len(values):
            inside = values[part]
        if isinstance(part, str) and inside is values and _LABEL.fullmatch(part):
            continue
        place.append(part)
        values = inside
    return tuple(place)


def _needs(problem: _Problem) -> str:
    """What may stand at the place of a problem, as words."""
    return problem.context["expected"] if problem.kind == "literal_error" else _NEEDS.get(problem.kind, "")


_NEEDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_too_short": "a text that is not empty",
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
    if problem.loc and problem.loc[-1] == "[key]":
        path = _locate(cls, problem.loc[:-2])[0]
        return f"{path} must have texts as names, but one is {value!r}; write it in quotes: {str(value)!r}"
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
        needs = _either([_NEEDS[kind], *problem.others])
        is_text = kind == "string_type" and isinstance(value, (int, float)) and not problem.others
        return f"{path} must be {needs}, but is {value!r}{_quoted(value) if is_text else ''}"
    return f"{path}: {problem.text}, but is {value!r}"


def _either(needs: Sequence[str]) -> str:
    """One of several, in words."""
    *first, last = " or ".join(need for need in needs if need).split(" or ")
    return f"{', '.join(first)} or {last}" if first else last


def _quoted(value: float) -> str:
    """How a text is written that YAML reads as a number or as true."""
    return f"; write it in quotes: '{str(value).lower() if isinstance(value, bool) else value}'"


def _tag(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else value


def _locate(cls: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[str, type[BaseModel]]:
    """The dotted path that a user wrote, and the section class that owns its last name.

    A tagged union adds its tag to pydantic's location; no file has that, so it is left out.
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
    """`; did you mean width?` when one of ``names`` is close to ``name``, otherwise the list of names."""
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


try:  # ten times as fast: 20,000 columns take minutes by Python's own parser
    from yaml import CSafeDumper as SafeDumper
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # pragma: no cover - a PyYAML that was built without libyaml
    from yaml import SafeDumper, SafeLoader


class _Loader(SafeLoader):  # pyrefly: ignore
    """YAML in which yes, no, on and off are texts, as in YAML 1.2: classes are called so. Where a setting must be true or false, they are
    that all the same."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def yaml_value(text: str) -> Any:
    """What a text of YAML says. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)


def yaml_text(values: Mapping[str, Any], width: int | None = None) -> str:
    """Plain values as YAML, in lines of about ``width`` characters."""
    return str(yaml.dump(values, Dumper=SafeDumper, sort_keys=False, allow_unicode=True, width=width))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping. Raises ConfigError for a missing file, and for one that is not YAML or not a mapping."""
    try:
        values = yaml_value(path.read_text(encoding="utf-8"))
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
        if not equals or not re.fullmatch(r"[\w-]+(\..+)?", name.strip()):
            raise ConfigError(f"--set must be section.field=value, but is {text!r}")
        try:
            # a date's format is a text, though YAML takes the sign at a value's beginning for a directive; so is a mark such as , or ?
            is_text = value.startswith("%") or re.fullmatch(r"[^\w\s\[\]{}'\"~]+", value) is not None
            pairs.append((name.strip(), value if is_text else yaml_value(value)))
        except yaml.YAMLError:
            raise ConfigError(f"--set {name}: the value must be YAML, but is {value!r}") from None
    return pairs


def nested(pairs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The sections that settings by dotted names make. Raises ConfigError as `put_setting`."""
    values: MutableMapping[str, Any] = {}
    for dotted, value in pairs.items():
        put_setting(values, dotted, value)
    return values


def put_setting(values: MutableMapping[str, Any], dotted: str, value: Any, usual: str = "") -> None:
    """Set one nested key. A model's settings belong to the model named, so another name starts from its defaults.

    ``usual``: the model where ``values`` name none.
    """
    *sections, last = dotted.split(".")
    if dotted == "model" and not isinstance(value, Mapping):
        sections, last = ["model"], "name"
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {dotted}: {section} must be a section, but is {inner!r}")
        values = inner
    if sections == ["model"] and last == "name" and values.get("name", usual) != value:
        values.clear()
    values[last] = value
