"""A language model's bundle, loaded: it completes prompts and says how surprised it is by a text.

bundle.json  tokenizer.json  project.yaml  weights.safetensors
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headway.columns.tokenizer import Tokenizer, tokenizer_from_json
from headway.data.inputs import TokenInputs
from headway.data.records import shown
from headway.data.tokens import TokenStore
from headway.errors import ConfigError, DataError, HeadwayError
from headway.evaluate.language import Blocks, by_document, measure
from headway.files.atomic import read_json, write_atomically, write_json
from headway.models import ModelConfig
from headway.models.gpt import GPT
from headway.serve.outcome import Outcome, write_outcomes
from headway.serve.whole import whole

if TYPE_CHECKING:
    import torch

FORMAT = 1
LATENCY_CHARACTERS = 1000
SAMPLE_TOKENS = 300
MOST_TOKENS = 10_000


def complete_text_bundle(folder: Path, store: TokenStore, model: ModelConfig, project_yaml: str) -> None:
    """Add to the weights that training wrote all that predicting needs beside them."""
    write_json(folder / "tokenizer.json", store.tokenizer.to_json())
    write_atomically(folder / "project.yaml", project_yaml)
    described = {"format": FORMAT, "task": "language", "model": model.model_dump(mode="json", exclude={"weights"})}
    write_json(folder / "bundle.json", {**described, "vocabulary": store.tokenizer.size})


@dataclass(frozen=True)
class TextPredictor:
    """A loaded bundle."""

    tokenizer: Tokenizer
    context: int
    network: torch.nn.Module

    @classmethod
    def load(cls, folder: str | Path) -> TextPredictor:
        """Read a bundle. Raises ConfigError when the folder is no language model's, DamagedError for a damaged one."""
        from safetensors.torch import load_file

        folder = Path(folder)
        with whole(folder) as described:
            if described.get("task") != "language":
                raise ConfigError(
                    f"{folder} must be a language model's bundle, but its task is {described.get('task')}"
                )
            config = GPT.parse(described["model"], "model")
            network = config.build(TokenInputs(described["vocabulary"]))
            network.load_state_dict(load_file(folder / "weights.safetensors"))
            return cls(tokenizer_from_json(read_json(folder / "tokenizer.json")), config.context, network.eval())

    def losses(self, documents: Iterable[str], ends: bool = False) -> Blocks:
        """The nats of every token but the first, by blocks of the text. ``ends``: whether each document's end is predicted too."""
        import torch

        from headway.tasks.language import token_losses

        texts = list(documents)
        encoded = [self.tokenizer.encode_document(text, ends) for text in texts]
        tokens = np.concatenate(encoded)
        if len(tokens) < 2:
            raise DataError("a text must have at least two tokens, but is shorter")
        nats = token_losses(lambda batch: self.network(tokens=batch), tokens, self.context, torch.device("cpu"))
        counts = [len(one) for one in encoded] if by_document(len(texts)) else ()
        return Blocks.of(nats, self.tokenizer.byte_lengths()[tokens], counts)

    def sample(self, prompt: str, *, tokens: int = SAMPLE_TOKENS, temperature: float = 0.8, seed: int = 0) -> str:
        """What follows a prompt."""
        import torch

        from headway.tasks.language import complete

        given = self.tokenizer.encode(prompt).tolist()
        device = torch.device("cpu")
        found = complete(self.network, given, tokens, self.context, temperature=temperature, seed=seed, device=device)
        return self.tokenizer.decode(found)

    def answer(self, rows: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
        """`completion` for each `prompt`; or `loss` and `bits_per_byte` for each `text`.

        Raises DataError without either column, without a text in a row, and on parameters that are none.
        """
        name = "prompt" if "prompt" in rows.columns else "text"
        if name not in rows.columns:
            have = ", ".join(shown(c) for c in rows.columns[:8])
            raise DataError(f"rows to predict must have a column prompt or text, but they have {have}")
        texts = [str(text) for text in rows[name] if isinstance(text, str) and text]
        if len(texts) < len(rows):
            raise DataError(
                f"rows to predict: {name} must be a text in every row, but {len(rows) - len(texts)} have none"
            )
        if name == "prompt":
            tokens = int(_parameter(params, "tokens", SAMPLE_TOKENS, 1, MOST_TOKENS, whole=True))
            seed = int(_parameter(params, "seed", 0, 0, 2**63 - 1, whole=True))
            temperature = _parameter(params, "temperature", 0.8, 0, 100)
            shape = {"tokens": tokens, "seed": seed}
            return pd.DataFrame({"completion": [self.sample(text, temperature=temperature, **shape) for text in texts]})
        found = [measure(self.losses([text]), 2) for text in texts]
        return pd.DataFrame([{name: metric["value"] for name, metric in one.items()} for one in found])


def _parameter(
    params: Mapping[str, Any], name: str, default: float, least: float, most: float, whole: bool = False
) -> float:
    """A number of the parameters. Raises DataError where it is none, or outside its bounds."""
    told = params.get(name, default)
    try:
        value = int(told) if whole else float(told)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if isinstance(told, bool) or not least <= value <= most:
        what = "a whole number" if whole else "a number"
        raise DataError(f"params.{name} must be {what} from {least:,} to {most:,}, but is {shown(told)}")
    return value


def rehearse(store_path: str, out: str, prompts: Sequence[str], bundles: Sequence[str]) -> None:
    """For each bundle its blocks on the store's test text, `OUT/<n>.npz`; the first one's samples; `OUT/rehearsal.json`, after each."""
    store, folder = TokenStore(Path(store_path)), Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    start = "".join(islice(store.test_documents(), LATENCY_CHARACTERS))[:LATENCY_CHARACTERS]
    done: list[Outcome] = []
    for n, bundle in enumerate(bundles):
        try:
            predictor = TextPredictor.load(bundle)
            blocks = predictor.losses(store.test_documents(), store.described.ends)
            np.savez(folder / f"{n}.npz", nats=blocks.nats, tokens=blocks.tokens, bytes=blocks.bytes)
            begun = time.perf_counter()
            predictor.losses([start])
            size = sum(file.stat().st_size for file in Path(bundle).rglob("*") if file.is_file())
            done.append(Outcome(size, 1000 * (time.perf_counter() - begun)))
            if n == 0:
                samples = [f"{p}{predictor.sample(p)}" for p in prompts]
                write_atomically(folder / "samples.txt", "\n\n---\n\n".join(samples) + "\n")
        except (HeadwayError, OSError, KeyError) as error:
            done.append(Outcome.of_problem(error))
        write_outcomes(folder, done)


if __name__ == "__main__":
    arguments = read_json(Path(sys.argv[1]))
    rehearse(arguments["store"], arguments["out"], arguments["prompts"], arguments["bundles"])
