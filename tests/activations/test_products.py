import threading

import pytest
import torch

from isodepth.activations import products
from isodepth.activations.products import (
    float32_products,
    onednn_linear,
    processor_maker,
    product_library,
)

linear = torch.nn.functional.linear
SHAPES = [(7, 5), (1, 5), (2, 3, 5), (1, 1, 5), (2, 3, 2, 5)]

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch comes without oneDNN"
)


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Have oneDNN chosen, whatever the processor; gives the shapes of what it is asked to multiply."""
    asked: list[tuple[int, ...]] = []

    def noting(inputs, weight, bias):
        asked.append(tuple(inputs.shape))
        return onednn_linear(inputs, weight, bias)

    monkeypatch.setattr(products, "product_library", lambda: "oneDNN")
    monkeypatch.setattr(products, "onednn_linear", noting)
    monkeypatch.setattr(products, "LEAST_PRODUCTS", 1)
    return asked


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


@needs_onednn
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("order", ["rows", "columns", "part"])
def test_onednn_gives_what_a_product_in_float64_does(onednn, shape, has_bias: bool, order: str) -> None:
    inputs, weight = numbers(*shape), numbers(11, 5)
    if order == "columns":
        weight = weight.T.contiguous().T
    if order == "part":  # of a weight that holds several layers, and of every second text
        weight = numbers(22, 10)[:11, :5]
        inputs = numbers(2 * shape[0], *shape[1:])[::2]
    bias = numbers(11) if has_bias else None
    with torch.inference_mode(), float32_products():
        found = linear(inputs, weight, bias)
    assert onednn == [shape]
    expected = inputs.double() @ weight.double().T + (0 if bias is None else bias.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@needs_onednn
def test_layers_are_reached_through_modules_and_by_name(onednn) -> None:
    layer = torch.nn.Linear(5, 11)
    with torch.inference_mode(), float32_products():
        found = layer(numbers(7, 5))
        named = linear(input=numbers(7, 5), weight=layer.weight, bias=layer.bias)
    assert onednn == [(7, 5), (7, 5)]
    assert torch.equal(found, named)


@needs_onednn
def test_what_is_no_float32_matrix_is_left_to_torch(onednn) -> None:
    class Packed(torch.nn.Parameter):
        pass

    weight = numbers(11, 5)
    left = [
        (numbers(7, 5, dtype=torch.float64), weight.double(), None),
        (numbers(7, 5, dtype=torch.bfloat16), weight.bfloat16(), None),
        (numbers(5), weight, numbers(11)),
        (torch.empty(0, 5), weight, None),
        (numbers(7, 5), Packed(weight), None),
        # what it would read wrongly, or not at all
        (numbers(7, 5), weight, numbers(22)[::2]),
        (numbers(7, 5), weight, numbers(1).expand(11)),
        (numbers(7, 5), weight, numbers(1)),
        (numbers(7, 5), weight, torch.tensor(0.5)),
    ]
    with torch.inference_mode(), float32_products():
        found = [linear(*one) for one in left]
    assert onednn == []
    for one, expected in zip(found, left, strict=True):
        assert torch.equal(one, linear(*expected))
        assert one.dtype == expected[0].dtype


@needs_onednn
@pytest.mark.parametrize("order", ["rows", "columns", "part"])
def test_sums_with_products_are_linear_layers_too(onednn, order: str) -> None:
    inputs, weight, bias = numbers(7, 5), numbers(5, 11), numbers(11)
    if order == "columns":
        weight = weight.T.contiguous().T
    if order == "part":
        weight = numbers(10, 22)[::2, :11]
    with torch.inference_mode(), float32_products():
        found = torch.addmm(bias, inputs, weight)
    assert onednn == [(7, 5)]
    expected = bias.double() + inputs.double() @ weight.double()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@needs_onednn
@pytest.mark.parametrize("shape", SHAPES)
def test_products_with_a_matrix_are_linear_layers_too(onednn, shape) -> None:
    inputs, weight = numbers(*shape), numbers(11, 5)
    with torch.inference_mode(), float32_products():
        found = [inputs @ weight.T, torch.matmul(inputs, weight.T), inputs.matmul(weight.T)]
    assert onednn == [shape] * 3
    for one in found:
        torch.testing.assert_close(
            one.double(), inputs.double() @ weight.double().T, rtol=1e-5, atol=1e-6
        )


@needs_onednn
def test_other_products_are_left_to_torch(onednn) -> None:
    left = [
        (numbers(2, 7, 5), numbers(2, 5, 11)),
        (numbers(7, 5), numbers(2, 5, 11)),
        (numbers(7, 5), numbers(5)),
        (numbers(5), numbers(5, 11)),
        (numbers(7, 5).double(), numbers(5, 11).double()),
        (numbers(7, 5).to_sparse(), numbers(5, 11)),
    ]
    with torch.inference_mode(), float32_products():
        found = [one @ other for one, other in left]
        written = torch.empty(7, 11)
        torch.matmul(numbers(7, 5), numbers(5, 11), out=written)
    assert onednn == []
    for product, (one, other) in zip(found, left, strict=True):
        assert torch.equal(product, one @ other)
    assert torch.equal(written, numbers(7, 5) @ numbers(5, 11))


@needs_onednn
def test_other_sums_with_products_are_left_to_torch(onednn) -> None:
    class Packed(torch.nn.Parameter):
        pass

    inputs, weight, bias = numbers(7, 5), numbers(5, 11), numbers(11)
    left = [
        ((numbers(7, 11), inputs, weight), {}),
        ((numbers(1), inputs, weight), {}),
        ((bias.expand(7, 11), inputs, weight), {}),
        ((bias.double(), inputs.double(), weight.double()), {}),
        ((bias, inputs, weight), {"beta": 2}),
        ((bias, inputs, weight), {"alpha": 0.5}),
        ((bias, inputs), {"mat2": weight}),
        ((bias.expand(7, 11), inputs.to_sparse(), weight), {}),
        ((bias, inputs, Packed(weight)), {}),
    ]
    with torch.inference_mode(), float32_products():
        found = [torch.addmm(*given, **named) for given, named in left]
    assert onednn == []
    for one, (given, named) in zip(found, left, strict=True):
        assert torch.equal(one, torch.addmm(*given, **named))
    with pytest.raises(RuntimeError, match="matrix"), torch.inference_mode(), float32_products():
        torch.addmm(bias, inputs[None], weight)


@needs_onednn
def test_small_layers_are_left_to_torch(onednn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST_PRODUCTS", 7 * 5 * 11)
    with torch.inference_mode(), float32_products():
        linear(numbers(6, 5), numbers(11, 5))
        assert onednn == []
        linear(numbers(7, 5), numbers(11, 5))
    assert onednn == [(7, 5)]


@needs_onednn
def test_other_threads_and_what_comes_after_are_left_alone(onednn) -> None:
    def multiply() -> None:
        with torch.inference_mode():
            linear(numbers(7, 5), numbers(11, 5))

    with float32_products():
        other = threading.Thread(target=multiply)
        other.start()
        other.join()
    multiply()
    assert onednn == []


def test_on_other_processors_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "product_library", lambda: "torch")
    monkeypatch.setattr(products, "onednn_linear", None)  # would fail if it were called
    with float32_products():
        found = linear(numbers(7, 5), numbers(11, 5))
    assert torch.equal(found, linear(numbers(7, 5), numbers(11, 5)))


@pytest.mark.parametrize(
    ("maker", "capability", "has_onednn", "library"),
    [
        ("AuthenticAMD", "AVX512", True, "oneDNN"),
        ("AuthenticAMD", "AVX512", False, "torch"),
        ("AuthenticAMD", "AVX2", True, "torch"),
        ("GenuineIntel", "AVX512", True, "torch"),
        ("", "DEFAULT", True, "torch"),
    ],
)
def test_the_processor_decides(
    maker: str, capability: str, has_onednn: bool, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "processor_maker", lambda: maker)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    assert product_library.__wrapped__() == library


def test_the_maker_is_read_where_the_system_tells(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n")
    monkeypatch.setattr(products, "Path", lambda path: listing)
    assert processor_maker() == "AuthenticAMD"
    listing.write_text("processor\t: 0\nBogoMIPS\t: 50\n")
    assert processor_maker() == ""
    listing.unlink()
    monkeypatch.setattr(
        products.platform, "processor", lambda: "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    )
    assert processor_maker() == "AuthenticAMD"


def test_an_extraction_tells_what_multiplied() -> None:
    cpu = {"dtype": "float32", "device": "cpu", "quantization": None}
    assert products.linear_layers_by(cpu) == product_library()
    assert products.linear_layers_by(cpu | {"dtype": "bfloat16"}) == "torch"
    assert products.linear_layers_by(cpu | {"device": "cuda:0"}) == "torch"
    assert products.linear_layers_by(cpu | {"quantization": "8bit"}) == "torch"
