"""Text as tokens: nothing lost on the way there and back, nothing of the test in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headway.columns import tokenizer as tokenizers
from headway.columns.config import PrepareConfig
from headway.columns.tokenizer import BytePairs, Characters, Tokenizer, tokenizer_from_json
from headway.data import documents as data_documents
from headway.data.config import SPLITS
from headway.data.documents import Documents
from headway.data.loader import LoaderTokens
from headway.data.storing import make_document_store
from headway.data.windows import TokenBatches
from headway.errors import DataError
from headway.pipeline.runs import documents_of, table_of
from headway.project import Project

TEXT = "To be, or not to be: that is the question. \u00c0 la fin, \u4f60\u597d \U0001f600!\n" * 20


@pytest.fixture(params=["characters", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Characters.fit([TEXT]) if request.param == "characters" else BytePairs.fit([TEXT], 300)


def test_text_comes_back_as_it_was(tokenizer: Tokenizer) -> None:
    again = tokenizer_from_json(tokenizer.to_json())
    for text in (TEXT, "be\n", ""):
        assert tokenizer.decode(tokenizer.encode(text).tolist()) == text
        assert again.encode(text).tolist() == tokenizer.encode(text).tolist()


def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.byte_lengths()[tokenizer.encode(TEXT)].sum() == len(TEXT.encode())
    assert tokenizer.byte_lengths().shape == (tokenizer.size,)


def test_a_character_that_training_lacked_is_unknown_and_bytes_never_are() -> None:
    characters = Characters.fit(["abc"])
    assert characters.encode("abz").tolist() == [2, 3, 1]
    assert characters.decode([2, 1]) == "a\ufffd"
    assert (
        BytePairs.fit(["abc" * 9], 258).decode(BytePairs.fit(["abc" * 9], 258).encode("z\u00e9").tolist()) == "z\u00e9"
    )


def test_a_text_that_spells_the_end_token_has_its_bytes_and_no_end() -> None:
    text = "see <|end|> there"
    for tokenizer in (BytePairs.fit([text * 9], 300), BytePairs.from_json(BytePairs.fit([text], 300).to_json())):
        tokens = tokenizer.encode_document(text, ends=True)
        assert np.flatnonzero(tokens == 0).tolist() == [len(tokens) - 1]
        assert tokenizer.decode(tokens.tolist()) == text
        assert tokenizer.byte_lengths()[tokens].sum() == len(text)
        assert 0 not in tokenizer.encode_rows([text], 50).values


def documents_in(root: Path, files: int = 60, **sections: object) -> tuple[Documents, PrepareConfig]:
    path = root / "texts"
    path.mkdir()
    for n in range(files):
        (path / f"{n:03}.txt").write_text(f"document {n} " * 20)
    return _open(root, "texts", split={"test": 0.2, "validation": 0.2}, **sections)


def _open(root: Path, source: str, **sections: object) -> tuple[Documents, PrepareConfig]:
    values = {
        "name": "x",
        "task": "language",
        "data": {"source": source},
        "prepare": {"tokens": {"tokenizer": "characters"}},
    }
    project = Project.parse({**values, **sections}, "x")
    return documents_of(project, table_of(project, root)), project.prepare


def test_the_store_holds_every_part_and_is_used_again(tmp_path: Path) -> None:
    documents, prepare = documents_in(tmp_path)
    store, reused = make_document_store(tmp_path / "prepared", documents, prepare, 8)
    assert not reused
    for split in SPLITS:
        texts = [d.text for s, d in documents.parts() if s == split]
        tokens = store.tokens(split)
        assert tokens.dtype == np.uint16
        assert store.preparation.documents.reader.decode(tokens.tolist()) == "".join(texts)
        assert (tokens == 0).sum() == len(texts) == store.rows[split]
    assert list(store.test_documents()) == [d.text for s, d in documents.parts() if s == "test"]
    assert make_document_store(tmp_path / "prepared", documents, prepare, 8)[1]


@pytest.mark.parametrize("most", [{"ROWS": 4}, {"BATCH_CHARACTERS": 700}])
def test_documents_come_in_batches_that_fit_in_memory_each_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: dict[str, int]
) -> None:
    documents, _ = documents_in(tmp_path)
    ((name, value),) = most.items()
    monkeypatch.setattr(data_documents, name, value)
    batches = list(documents.batches())
    assert max(batch.num_rows for _, batch in batches) == 4
    for split in SPLITS:
        texts = [text for part, batch in batches if part == split for text in batch.column(0).to_pylist()]
        assert texts == [d.text for part, d in documents.parts() if part == split]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"caf\xe9 " * 50, r"x.txt must be UTF-8 text, but byte 3 is not"),
        (b"short", r"part must have more tokens than model.context, 64, but it has"),
    ],
)
def test_bad_text_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    documents, prepare = _open(tmp_path, "x.txt", split={"by": "position"})
    with pytest.raises(DataError, match=line):
        make_document_store(tmp_path / "prepared", documents, prepare, 64)
    assert not list(tmp_path.glob("prepared/*"))


def test_a_long_document_has_the_same_tokens_in_pieces(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"line {n}\n{'  ' * (n % 3)}word\t\n\n{chr(10) * (n % 2)}next \u00e9\n" for n in range(400))
    monkeypatch.setattr(tokenizers, "PIECE", 50)
    divided = list(tokenizers.pieces(text))
    assert len(divided) > 50
    assert "".join(divided) == text
    assert np.array_equal(tokenizer.encode_document(text, ends=False), tokenizer.encode(text))


def batches(seed: int = 0) -> TokenBatches:
    return TokenBatches(np.arange(1000, dtype=np.uint16), 4, 16, seed, torch.device("cpu"))


def test_windows_are_neighbours_and_the_target_is_the_next_token() -> None:
    windows = list(batches().epoch(0))
    assert len(windows) == batches().steps == 15
    for batch in windows:
        assert batch["tokens"].shape == (4, 16)
        assert torch.equal(batch["target"], batch["tokens"] + 1)
        assert torch.equal(batch["tokens"] - batch["tokens"][:, :1], torch.arange(16).expand(4, 16))
    assert sum(batches().count(s) for s in range(15)) == 960


@pytest.mark.parametrize("start", [0, 1, 14])
def test_any_step_of_a_text_can_be_the_first(start: int) -> None:
    windows = [batch["tokens"] for batch in batches().epoch(3, start)]
    truth = [batch["tokens"] for batch in batches().epoch(3)][start:]
    assert all(torch.equal(a, b) for a, b in zip(windows, truth, strict=True))
    assert not torch.equal(windows[0], next(iter(batches(1).epoch(3, start)))["tokens"])


def test_a_plain_loader_of_a_text_gives_the_same_windows() -> None:
    plain = LoaderTokens(np.arange(1000, dtype=np.uint16), 4, 16, 0, torch.device("cpu"))
    for one, other in zip(plain.epoch(2, 3), batches().epoch(2, 3), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("tokens", "target"))
