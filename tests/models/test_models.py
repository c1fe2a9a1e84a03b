"""One contract for every model, whoever adds it, and the layers that they share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from headway.data.inputs import Inputs
from headway.models import model_configs
from headway.models.bag import Bag
from headway.models.layers import Columns, Dropout, OneHot, TableNetwork, TokenBags, WeightedBags
from headway.models.mlp import MLP
from headway.models.tabm import TabM

NETWORKS = [name for name, config in model_configs().items() if "build" in vars(config) and not config.completes]
EDGES = tuple(float(x) for x in np.linspace(-2, 2, 6))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "inputs",
    [
        Inputs(3, (5, 200), (EDGES, (), EDGES), 2),
        Inputs(3, (), ((), (), ()), 1),
        Inputs(0, (4,), (), 3),
    ],
    ids=["mixed", "numbers", "categories"],
)
def test_every_network_maps_prepared_rows_to_outputs_and_learns(name: str, inputs: Inputs) -> None:
    torch.manual_seed(0)
    network = model_configs()[name]().build(inputs)
    numeric = torch.randn(64, inputs.numeric)
    codes = (
        torch.stack([torch.randint(0, n, (64,)) for n in inputs.categorical], 1)
        if inputs.categorical
        else torch.zeros(64, 0, dtype=torch.int64)
    )
    outputs = network(numeric, codes)
    assert outputs.shape[0] == 64
    assert outputs.shape[-1] == inputs.outputs
    target = codes[:, 0] % inputs.outputs if inputs.categorical else (numeric[:, 0] > 0).long() * 0
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)

    def loss() -> torch.Tensor:
        out = network(numeric, codes)
        out = out.flatten(0, 1) if out.ndim == 3 else out
        repeated = target.repeat_interleave(len(out) // 64)
        if inputs.outputs == 1:
            return functional.mse_loss(out[:, 0], numeric[:, 0].repeat_interleave(len(out) // 64))
        return functional.cross_entropy(out, repeated)

    first = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    assert value.item() < 0.5 * first


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_predicts_a_row_the_same_whatever_rows_are_beside_it(name: str) -> None:
    torch.manual_seed(0)
    network = model_configs()[name]().build(Inputs(2, (5,), (EDGES, EDGES), 2)).eval()
    numeric, codes = torch.randn(32, 2), torch.randint(0, 5, (32, 1))
    with torch.no_grad():
        torch.testing.assert_close(
            network(numeric, codes)[7:8], network(numeric[7:8], codes[7:8]), atol=1e-6, rtol=1e-5
        )


def test_one_hot_equals_torchs_own() -> None:
    codes = torch.tensor([[0, 3], [2, 1]])
    truth = torch.cat([functional.one_hot(codes[:, 0], 3), functional.one_hot(codes[:, 1], 4)], 1).float()
    assert torch.equal(OneHot([3, 4])(codes), truth)


def test_wide_columns_are_embedded_and_their_width_is_told() -> None:
    columns = Columns(1, (3, 500))
    out = columns(torch.zeros(4, 1), torch.zeros(4, 2, dtype=torch.int64))
    assert out.shape == (4, columns.width)
    assert sum(columns.chunks) == columns.width < 100


def test_dropout_keeps_the_mean_drops_the_share_and_lets_the_same_gradients_through() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.25)
    x = torch.ones(400_003, requires_grad=True)
    out = dropout(x)
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.004)
    assert out.mean().item() == pytest.approx(1.0, abs=0.005)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())
    assert torch.equal(dropout.eval()(x), x)
    neighbours = (out.detach()[:-1] == 0) & (out.detach()[1:] == 0)
    assert neighbours.float().mean().item() == pytest.approx(0.25**2, abs=0.003), "draws are independent"


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("codes", [(3,), (3, 200, 5), (150, 4, 90)])
def test_a_folded_network_predicts_the_same(depth: int, codes: tuple[int, ...]) -> None:
    from headway.models.folded import FoldedNetwork, folded

    torch.manual_seed(0)
    network = MLP(width=16, depth=depth).build(Inputs(3, codes, (), 2)).eval()
    numeric = torch.randn(50, 3)
    categorical = torch.stack([torch.randint(0, n, (50,), dtype=torch.int32) for n in codes], 1)
    quick = folded(network, codes)
    assert isinstance(quick, FoldedNetwork)
    torch.testing.assert_close(quick(numeric, categorical), network(numeric, categorical), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["tabm-mini", "tabm"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("rows", [0, 1, 1300])
def test_folded_members_predict_the_same(variant: Any, depth: int, rows: int) -> None:
    from headway.models.folded import folded
    from headway.models.folded_members import ROWS, FoldedMembers

    torch.manual_seed(0)
    codes = (3, 200)
    network = TabM(width=16, depth=depth, members=4, variant=variant).build(Inputs(3, codes, (EDGES, (), EDGES), 2))
    for parameter in network.parameters():  # as after a training: no scale is 1 and no bias 0
        torch.nn.init.normal_(parameter, std=0.5)
    quick = folded(network.eval(), codes)
    assert isinstance(quick, FoldedMembers)
    assert ROWS < 1300
    numeric = torch.randn(rows, 3)
    categorical = torch.stack([torch.randint(0, n, (rows,), dtype=torch.int32) for n in codes], 1)
    with torch.no_grad():
        torch.testing.assert_close(quick(numeric, categorical), network(numeric, categorical), atol=1e-4, rtol=1e-4)


def test_a_network_with_too_many_weights_for_each_member_keeps_the_shared_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from headway.models import folded_members
    from headway.models.folded import folded

    network = TabM(width=16, members=4).build(Inputs(3, (), (), 2)).eval()
    monkeypatch.setattr(folded_members, "MOST_WEIGHTS", 100)
    assert folded(network, ()) is network


def named(tokens: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"tokens_{i}": one for i, one in enumerate(tokens)}


def test_tokens_enter_as_the_mean_of_their_embeddings_whatever_the_padding() -> None:
    torch.manual_seed(0)
    bags = TokenBags([9, 5], size=4)
    assert not bags(named([torch.tensor([[3, 8]]), torch.tensor([[1]])])).any(), (
        "a token that training never shows adds nothing"
    )
    for bag in bags.bags:
        torch.nn.init.normal_(bag.get_parameter("weight"))
    first, second = (bag.get_parameter("weight") for bag in bags.bags)
    tokens = [torch.tensor([[3, 8, 3], [0, 0, 0]], dtype=torch.int32), torch.tensor([[1], [2]], dtype=torch.int32)]
    out = bags(named(tokens))
    truth = torch.stack([torch.cat([(2 * first[3] + first[8]) / 3, second[1]]), torch.cat([torch.zeros(4), second[2]])])
    torch.testing.assert_close(out, truth)
    wider = [functional.pad(tokens[0], (0, 7)), tokens[1]]
    assert torch.equal(bags(named(wider)), out)


def test_weighted_ngrams_enter_as_the_sum_of_weights_times_embeddings_whatever_the_padding() -> None:
    torch.manual_seed(0)
    bags = WeightedBags([9, 5], size=4).double()
    first, second = (bag.get_parameter("weight") for bag in bags.bags)
    tokens = named([torch.tensor([[3, 8], [0, 0]], dtype=torch.int32), torch.tensor([[1], [2]], dtype=torch.int32)])
    weights = [torch.tensor([[0.5, -2.0], [0.0, 0.0]]), torch.tensor([[1.0], [3.0]])]
    texts = tokens | {f"tokens_{i}_weights": one for i, one in enumerate(weights)}
    out = bags(texts)
    no_text = torch.zeros(4, dtype=torch.float64)
    truth = torch.stack([torch.cat([0.5 * first[3] - 2 * first[8], second[1]]), torch.cat([no_text, 3 * second[2]])])
    torch.testing.assert_close(out, truth)
    wider = {name: functional.pad(one, (0, 7)) if name.startswith("tokens_0") else one for name, one in texts.items()}
    assert torch.equal(bags(wider), out)
    out.sum().backward()
    for bag in bags.bags:
        gradient = bag.get_parameter("weight").grad
        assert gradient is not None
        assert not gradient[0].any(), "padding learns nothing"


@pytest.mark.parametrize("activation", ["relu", "none"])
@pytest.mark.parametrize("numeric", [0, 2])
def test_a_bag_is_its_formula(activation: Any, numeric: int) -> None:
    torch.manual_seed(0)
    network = Bag(width=6, activation=activation).build(Inputs(numeric, (), (), 3, (9, 5))).double().eval()
    assert isinstance(network, TableNetwork)
    rows: dict[str, torch.Tensor] = {"numeric": torch.randn(1, numeric, dtype=torch.float64)}
    rows |= {"categorical": torch.zeros(1, 0, dtype=torch.int64)}
    rows |= {"tokens_0": torch.tensor([[3, 8, 0]]), "tokens_0_weights": torch.tensor([[0.5, 2.0, 0.0]])}
    rows |= {"tokens_1": torch.tensor([[1]]), "tokens_1_weights": torch.tensor([[3.0]])}
    state = network.state_dict()
    hidden = 0.5 * state["columns.bags.bags.0.weight"][3] + 2 * state["columns.bags.bags.0.weight"][8]
    hidden = hidden + 3 * state["columns.bags.bags.1.weight"][1]
    if numeric:
        hidden = hidden + state["body.0.0.linear.weight"] @ rows["numeric"][0] + state["body.0.0.linear.bias"]
    hidden = hidden.relu() if activation == "relu" else hidden
    truth = state["body.1.weight"] @ hidden + state["body.1.bias"]
    torch.testing.assert_close(network(**rows)[0], truth)


@pytest.mark.parametrize(
    "inputs", [Inputs(2, (5,), (), 2, (9, 5)), Inputs(0, (), (), 2, (9,))], ids=["mixed", "tokens"]
)
def test_an_mlp_learns_from_tokens_beside_other_columns_and_alone(inputs: Inputs) -> None:
    from headway.models.folded import folded

    torch.manual_seed(0)
    network = MLP(width=16, text="tokens").build(inputs)
    rows = {"numeric": torch.randn(64, inputs.numeric), "categorical": torch.zeros(64, len(inputs.categorical)).int()}
    rows |= {f"tokens_{i}": torch.randint(0, n, (64, 3)).int() for i, n in enumerate(inputs.tokens)}
    target = (rows["tokens_0"] == 4).any(1).long()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        value = functional.cross_entropy(network(**rows), target)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.3 * losses[0]
    assert folded(network, inputs.categorical) is network, "only a look-up of codes is folded"
