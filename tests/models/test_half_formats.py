"""Which number format reaches each of torch's operations in a step of GPT in bfloat16."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from headway.data.inputs import Inputs
from headway.models import transformer
from headway.models.gpt import GPT
from headway.models.transformer import Norm, SquaredReLU, Transformer

ROWS, TOKENS, WIDTH, VOCABULARY = 3, 7, 16, 40
"""Rows times tokens, 21, divides the size of no weight: a tensor whose size it divides is made of the batch."""


class Operations(TorchDispatchMode):
    """Notes what each operation below autograd takes and makes."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[tuple[str, Tensor]] = []
        self.took: dict[str, list[Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.outputs += [
            (name, one) for one in (out if isinstance(out, (tuple, list)) else [out]) if torch.is_tensor(one)
        ]
        self.took.setdefault(name, []).extend(one for one in args if torch.is_tensor(one))
        return out

    def of_tokens(self, dtype: torch.dtype, least: int = WIDTH) -> Counter[str]:
        """The operations that made tensors of that format with at least so many numbers for each token."""
        tokens = ROWS * TOKENS
        return Counter(
            name
            for name, one in self.outputs
            if one.dtype is dtype and one.numel() % tokens == 0 and one.numel() >= least * tokens
        )


def built(layers: int = 2, device: str = "cpu", **settings: Any) -> Transformer:
    torch.manual_seed(0)
    config = GPT(layers=layers, heads=2, width=WIDTH, context=TOKENS, **settings)
    network = config.build(Inputs(tokens=(VOCABULARY,))).to(device)
    assert isinstance(network, Transformer)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return network


@contextmanager
def norms_as_one_kernel(patch: pytest.MonkeyPatch) -> Iterator[Counter[torch.dtype]]:
    """On a GPU RMSNorm is one kernel for an input and a weight of one format, which sums in fp32 within; a CPU has none such."""
    formats: Counter[torch.dtype] = Counter()

    def rms_norm(x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
        assert weight is None or weight.dtype is x.dtype
        formats[x.dtype] += 1
        return x * (1.0 if weight is None else weight)

    with patch.context() as patched:
        patched.setattr(functional, "rms_norm", rms_norm)
        yield formats


def step(network: Transformer, dtype: torch.dtype) -> Operations:
    device = next(network.parameters()).device
    tokens = torch.randint(0, VOCABULARY, (ROWS, TOKENS), device=device)
    with Operations() as operations:
        with torch.autocast(device.type, dtype):
            logits = network(tokens)
        logits.backward(torch.ones_like(logits))
    assert logits.dtype is dtype
    return operations


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_no_tensor_of_the_stream_is_in_full_precision_but_what_the_embedding_gives_and_takes(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(transformer, "LONGEST_PLAIN", 0)
    with norms_as_one_kernel(monkeypatch) as formats:
        operations = step(built(), dtype)
    assert operations.of_tokens(torch.float32) == {"embedding": 1, "_to_copy": 1}
    assert formats == {dtype: 2 * 4 + 1}
    attended = operations.took["_scaled_dot_product_flash_attention_for_cpu"]
    assert [one.dtype for one in attended] == [dtype] * 3 * 2


def test_each_weight_is_cast_once_forward_and_its_gradient_once_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with norms_as_one_kernel(monkeypatch):
        casts = [
            Counter(name for name, _ in step(built(layers), torch.bfloat16).outputs)["_to_copy"] for layers in (1, 3)
        ]
    matrices, norms = 4, 2
    assert casts[1] - casts[0] == 2 * 2 * (matrices + norms)


def test_without_autocast_no_tensor_is_cast() -> None:
    network = built().to(torch.float64)
    with Operations() as operations:
        network(torch.randint(0, VOCABULARY, (ROWS, TOKENS))).sum().backward()
    assert "_to_copy" not in operations.took
    assert network.cos.dtype is torch.float64


def test_the_gradients_in_bfloat16_are_those_of_float64_within_the_format() -> None:
    half, exact = built(), built().to(torch.float64)
    tokens = torch.randint(0, VOCABULARY, (ROWS, TOKENS))
    weights = torch.randn(ROWS, TOKENS, VOCABULARY)
    with torch.autocast("cpu", torch.bfloat16):
        ours = half(tokens)
    (ours.float() * weights).sum().backward()
    theirs = exact(tokens)
    (theirs * weights).sum().backward()
    assert (ours - theirs).norm() < 0.02 * theirs.norm()
    for (name, a), b in zip(half.named_parameters(), exact.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.dtype is torch.float32
        assert (a.grad - b.grad).norm() < 0.04 * b.grad.norm(), name


def test_squared_relu_is_its_formula_with_its_gradient() -> None:
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SquaredReLU.apply, (x,))
    assert torch.equal(SquaredReLU.apply(x), functional.relu(x).square())


def test_in_bfloat16_squared_relu_keeps_what_it_gives_and_its_gradient_is_exact() -> None:
    x = torch.randn(1000).bfloat16().requires_grad_()
    y = SquaredReLU.apply(x)
    (saved_tensor,) = y.grad_fn.saved_tensors
    assert saved_tensor.data_ptr() == y.data_ptr()
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, 2 * functional.relu(x.detach()))


def test_a_norm_sums_in_full_precision_whatever_comes_in() -> None:
    norm = Norm(4096)
    x = torch.full((4096,), 0.1)
    x[0] = 60.0
    truth = (x.bfloat16().double() / x.bfloat16().double().square().mean().sqrt()).bfloat16()
    assert torch.equal(norm(x.bfloat16()), truth)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_a_flash_kernel_attends_and_one_kernel_norms() -> None:
    operations = step(built(device="cuda"), torch.bfloat16)
    assert operations.of_tokens(torch.float32) == {"embedding": 1, "_to_copy": 1}
    fused = {"_scaled_dot_product_flash_attention", "_scaled_dot_product_cudnn_attention"}
    assert fused & operations.took.keys()
    assert "_fused_rms_norm" in operations.took
    assert "pow" not in operations.took
