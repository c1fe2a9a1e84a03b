"""docs/reference.md: all settings from their fields' own sentences, all commands from their help.

`python -m headway.cli.reference` writes it.

sections    a section of the YAML, and those in it: a heading, its sentence, a table of its settings
commands    a command: its sentence, its options, its examples
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headway.cli.arguments import EXIT_CODES, parser
from headway.cli.commands import COMMANDS
from headway.data import datasets
from headway.files.atomic import write_atomically
from headway.project import Project

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"

HEAD = """# Settings and commands

Written by `python -m headway.cli.reference` from the program itself. A setting of the YAML is also a setting of the command line:
`headway run NAME --set train.epochs=3`. A YAML states only what differs from the default."""

Schema = Mapping[str, Any]
"""A JSON schema as pydantic writes it."""

BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "less than"}
WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "null": "none",
}


def main() -> None:
    """Write the page."""
    write_atomically(PAGE, page())


def page() -> str:
    """The whole page as Markdown."""
    project = Project.model_json_schema()
    parts = [HEAD, "## Settings", *sections("", project, project["$defs"]), "## Options of data sets", *_data_sets()]
    return "\n\n".join([*parts, "## Commands", *_commands()]) + "\n"


def sections(path: str, schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[str]:
    """The section of this dotted path, and then each section in it."""
    fields: Mapping[str, Schema] = schema.get("properties", {})
    required = schema.get("required", ())
    rows = [(f"`{name}`", *_described(field, name in required, definitions)) for name, field in fields.items()]
    yield f"### {path or 'A project'}\n\n{_sentence(schema)}\n\n{_table(('Setting', 'Value', 'Default', ''), rows)}"
    for name, field in fields.items():
        inner = list(_definitions(field, f"{path}.{name}".lstrip(".")))
        for place, definition in inner:
            own = definitions[definition]
            tag = own.get("properties", {}).get("name", {}).get("const") if len(inner) > 1 else None
            yield from sections(f"{place}, name: {tag}" if tag else place, own, definitions)


def _definitions(schema: Schema, place: str) -> Iterator[tuple[str, str]]:
    """The sections that a field holds: where each stands, and its name among the definitions."""
    if "$ref" in schema:
        yield place, schema["$ref"].rpartition("/")[2]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _definitions(choice, place)
    if isinstance(items := schema.get("items"), Mapping):
        yield from _definitions(items, f"{place}[]")
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        yield from _definitions(values, f"{place}.NAME")


def _described(field: Schema, is_required: bool, definitions: Mapping[str, Schema]) -> tuple[str, str, str]:
    """What may stand there, the default, the sentence; a section without one of its own has that of its class."""
    inner = [definitions[definition] for _, definition in _definitions(field, "")]
    default = "must be given" if is_required else ""
    if "default" in field and not inner:
        default = "none" if field["default"] is None else f"`{_plain(field['default'])}`"
    return _values(field), default, _sentence(field) or (_sentence(inner[0]) if len(inner) == 1 else "")


def _sentence(schema: Schema) -> str:
    """The first paragraph of a description."""
    return " ".join(inspect.cleandoc(schema.get("description", "")).partition("\n\n")[0].split())


def _values(schema: Schema) -> str:
    """What may stand there, in words."""
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if "$ref" in schema:
        return "a section"
    if choices:
        return " or ".join(dict.fromkeys(_values(choice) for choice in choices))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{_plain(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"a list: {_values(items)}" if isinstance(items, Mapping) else "a list"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return (
            f"names with values: {_values(values)}" if isinstance(values, Mapping) and values else "names with values"
        )
    bounds = [f"{words} {_number(schema[bound])}" for bound, words in BOUNDS.items() if bound in schema]
    return ", ".join([WORDS.get(str(schema.get("type")), "any value"), *bounds])


def _data_sets() -> Iterator[str]:
    """The options of each known data set that has any."""
    for name in datasets.names():
        schema = datasets.dataset_of(name).options.model_json_schema()
        if schema.get("properties"):
            yield from sections(f"data.options, dataset: {name}", schema, schema.get("$defs", {}))


def _commands() -> Iterator[str]:
    """Every command."""
    top = parser(COMMANDS)
    (chooser,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in chooser.choices.items():
        rows = [(f"`{_invocation(one)}`", str(one.help)) for one in command._actions if one.dest != "help"]
        examples = (command.epilog or "").strip()
        parts = [f"### headway {name}", str(command.description), _table(("Option", ""), rows) if rows else ""]
        yield "\n\n".join(part for part in (*parts, f"```text\n{examples}\n```" if examples else "") if part)
    yield f"### Exit codes\n\n```text\n{EXIT_CODES.strip()}\n```"


def _invocation(action: argparse.Action) -> str:
    """How an option or an argument is written."""
    value = action.metavar or (action.choices and "{" + ",".join(map(str, action.choices)) + "}") or ""
    several = " ..." if action.nargs in ("+", "*") else ""
    return " ".join([*action.option_strings[-1:], f"{value}{several}"]).strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(value: Any) -> str:
    """A value as YAML's flow style writes it."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


if __name__ == "__main__":
    main()
