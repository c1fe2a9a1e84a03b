"""What a request for completions says, checked; and the text of one that is being written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.columns.tokenizer import UNKNOWN, Tokenizer
from headway.data.records import name_in_line
from headway.errors import DataError, HeadwayError
from headway.tasks.completion import PARAMETERS, TOKENS, Number, Parameter, Sampling, Texts


def sampling_of(
    values: Mapping[str, Any],
    named: Callable[[str], str] = "params.{}".format,
    error: type[HeadwayError] = DataError,
    most_tokens: float = TOKENS.most,
) -> Sampling:
    """The parameters that ``values`` has; the others are the defaults. Names that are no parameter are left out.

    ``named``: what the user calls a parameter. Raises ``error``, one line, for a value that is none or outside its bounds.
    """
    stated = [one for one in PARAMETERS if one.name in values]
    return Sampling(**{one.name: _checked(values[one.name], one, named, error, most_tokens) for one in stated})


def _checked(
    value: Any, one: Parameter, named: Callable[[str], str], error: type[HeadwayError], most_tokens: float
) -> Any:
    try:
        if isinstance(one, Texts):
            return _texts(value, one)
        return _number(value, one, most_tokens if one is TOKENS else one.most)
    except ValueError as problem:
        raise error(f"{named(one.name)} must be {problem}") from None


def _number(value: Any, parameter: Number, most: float) -> float:
    whole = parameter.kind == "long"
    try:
        number = int(value) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    too_small = number <= parameter.least if parameter.is_open else number < parameter.least
    if isinstance(value, bool) or too_small or not number <= most:
        what, least = "a whole number" if whole else "a number", f"{parameter.least:,}"
        if math.isinf(most):
            bounds = f"of at least {least}"
        elif parameter.is_open:
            bounds = f"above {least} and at most {most:,}"
        else:
            bounds = f"from {least} to {most:,}"
        raise ValueError(f"{what} {bounds}, but is {name_in_line(value)}")
    return number


def _texts(value: Any, parameter: Texts) -> tuple[str, ...]:
    """One text is a list of one. MLflow hands a list over, or an array."""
    texts = [value] if isinstance(value, str) else value
    is_list = not isinstance(texts, Mapping) and hasattr(texts, "__iter__")
    if not is_list or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a text or a list of texts, but is {name_in_line(value)}")
    if not all(texts):
        raise ValueError("texts of at least one character, but one is empty")
    if len(texts) > parameter.most:
        raise ValueError(f"at most {parameter.most} texts, but is {len(texts)}")
    return tuple(texts)


@dataclass
class Continuation:
    """A text that grows by tokens and ends before the first of ``stop``. ``say`` is given each piece that is certain."""

    tokenizer: Tokenizer
    stop: Sequence[str] = ()
    say: Callable[[str], object] | None = None
    text: str = ""
    _tokens: list[int] = field(default_factory=list)
    """Those whose text is not in ``text`` yet: they may end in the middle of a character."""
    _said: int = 0

    def take(self, token: int) -> bool:
        """Add a token. Returns whether the text goes on."""
        self._tokens.append(token)
        piece = self.tokenizer.decode(self._tokens)
        return piece.endswith(UNKNOWN) or self._add(piece)

    def end(self) -> str:
        """All of it."""
        if self._tokens:
            self._add(self.tokenizer.decode(self._tokens))
        self._say(len(self.text))
        return self.text

    def _add(self, piece: str) -> bool:
        self._tokens.clear()
        first = max(0, len(self.text) - max(map(len, self.stop), default=0))
        self.text += piece
        ends = [at for at in (self.text.find(stop, first) for stop in self.stop) if at >= 0]
        if ends:
            self.text = self.text[: min(ends)]
        else:
            self._say(len(self.text) - self._begun())
        return not ends

    def _begun(self) -> int:
        """How many of the last characters may be the beginning of a text that ends it."""
        sizes = (n for stop in self.stop for n in range(1, len(stop)) if self.text.endswith(stop[:n]))
        return max(sizes, default=0)

    def _say(self, until: int) -> None:
        if self.say is not None and until > self._said:
            self.say(self.text[self._said : until])
            self._said = until
