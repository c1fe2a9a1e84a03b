"""Requests to a language model, and a model that fails: one line for what is wrong, and no trace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
import torch
from starlette.testclient import TestClient

from headway.columns.text import DocumentTokens
from headway.columns.tokenizer import Characters
from headway.data.inputs import Inputs
from headway.data.prepare import Preparation
from headway.models.gpt import GPT
from headway.serve.app import application
from headway.serve.config import ServeConfig
from headway.serve.text import TextPredictor
from headway.tasks import Target


def reading(tokenizer: Characters) -> Preparation:
    return Preparation((DocumentTokens("text", tokenizer.to_json()),), Target("", "language"))


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    torch.manual_seed(0)
    tokenizer = Characters("abc \n")
    config = GPT(layers=1, heads=1, width=8, context=8)
    predictor = TextPredictor(reading(tokenizer), 8, config.build(Inputs(tokens=(tokenizer.size,))).eval())
    with TestClient(application(predictor, ServeConfig())) as client:
        yield client


def ask(client: TestClient, rows: Any, **params: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post("/invocations", json={"inputs": rows, "params": params})
    assert answer.text.count("\n") <= 1
    return answer.status_code, answer.json()


def test_a_prompt_is_continued_and_a_text_measured(client: TestClient) -> None:
    status, answer = ask(client, [{"prompt": "ab"}, {"prompt": "c"}], tokens=5, temperature=0, seed=1)
    assert status == 200
    assert [len(row["completion"]) for row in answer["predictions"]] == [5, 5]
    assert ask(client, [{"prompt": "ab"}], tokens="5", temperature=0)[1]["predictions"] == answer["predictions"][:1]
    status, answer = ask(client, [{"text": "abc abc abc"}])
    assert (status, answer["predictions"][0]["loss"] > 0) == (200, True)


def test_a_completion_ends_before_a_stop_word_and_without_one_is_the_same_until_there(client: TestClient) -> None:
    prompts = [{"prompt": "ab"}, {"prompt": "cab b"}, {"prompt": "a" * 50}]
    whole = [row["completion"] for row in ask(client, prompts, tokens=60)[1]["predictions"]]
    cut = [row["completion"] for row in ask(client, prompts, tokens=60, stop=["b", "ca"])[1]["predictions"]]
    assert cut == [re.split("b|ca", text)[0] for text in whole]
    assert cut != whole
    assert [row["completion"] for row in ask(client, prompts, tokens=60, stop="b")[1]["predictions"]] == [
        text.split("b")[0] for text in whole
    ]


@pytest.mark.parametrize(
    ("rows", "params", "line"),
    [
        ([{"x": 1}], {}, "the body must hold rows with a column prompt or text, but it holds none"),
        ([{"prompt": None}], {}, "prompt must be a text in every row, but 1 have none"),
        ([{"prompt": ""}], {}, "prompt must be a text in every row"),
        ([{"prompt": ["a"]}], {}, "column prompt must hold single values, but row 1 has a list"),
        ([{"text": "a"}], {}, "column text must be a text of two tokens or more, but 1 value is not (row 1: 'a')"),
        ([{"prompt": "a"}], {"tokens": 10**9}, "params.tokens must be a whole number from 1 to 10,000"),
        (
            [{"prompt": "a"}],
            {"tokens": "many"},
            "params.tokens must be a whole number from 1 to 10,000, but is many",
        ),
        ([{"prompt": "a"}], {"tokens": 1.5}, "params.tokens must be a whole number"),
        ([{"prompt": "a"}], {"tokens": True}, "params.tokens must be a whole number"),
        ([{"prompt": "a"}], {"temperature": -1}, "params.temperature must be a number from 0 to 100"),
        ([{"prompt": "a"}], {"temperature": "nan"}, "params.temperature must be a number from 0 to 100"),
        ([{"prompt": "a"}], {"seed": -1}, "params.seed must be a whole number from 0"),
        ([{"prompt": "a"}], {"top_p": 0}, "params.top_p must be a number above 0 and at most 1, but is 0"),
        ([{"prompt": "a"}], {"top_p": 2}, "params.top_p must be a number above 0 and at most 1, but is 2"),
        ([{"prompt": "a"}], {"top_k": -1}, "params.top_k must be a whole number from 0"),
        (
            [{"prompt": "a"}],
            {"stop": ["a", ""]},
            "params.stop must be texts of at least one character, but one is empty",
        ),
        ([{"prompt": "a"}], {"stop": [None]}, "params.stop must be a text or a list of texts, but is [None]"),
        ([{"prompt": "a"}], {"stop": ["a"] * 17}, "params.stop must be at most 16 texts, but is 17"),
    ],
)
def test_what_is_wrong_with_a_prompt_or_a_parameter_is_one_line(
    client: TestClient, rows: Any, params: dict[str, Any], line: str
) -> None:
    status, answer = ask(client, rows, **params)
    assert (status, line in answer["message"]) == (400, True), answer


def test_a_mistake_of_ours_is_one_line_without_its_trace() -> None:
    class Broken(TextPredictor):
        def answer(self, rows: pd.DataFrame, params: Any) -> pd.DataFrame:
            raise RuntimeError("secret detail")

    broken = Broken(reading(Characters("a")), 8, GPT(layers=1).build(Inputs(tokens=(2,))))
    with TestClient(application(broken, ServeConfig()), raise_server_exceptions=False) as client:
        answer = client.post("/invocations", json={"inputs": [{"prompt": "a"}]})
    assert answer.status_code == 500
    assert json.loads(answer.text) == {
        "error_code": "INTERNAL_ERROR",
        "message": "the scoring server failed on this request; the reason is in its log",
    }
