"""HTML pages from templates, each beside the module that fills it. Whatever is filled in is escaped."""

from __future__ import annotations

from pathlib import Path


def render(template: Path, **values: object) -> str:
    """The page. A name that the template uses and that is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # the command line is there before it

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template(template.name).render(values)
