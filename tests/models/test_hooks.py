"""Hooks that look into a model: only in the thread that set them, and gone afterwards."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from isodepth.models.hooks import hooks

WIDTH = 7


def hooks_on(module: torch.nn.Module) -> int:
    return len(module._forward_hooks) + len(module._forward_pre_hooks)


def test_functions_are_given_inputs_and_output_and_may_replace_the_output() -> None:
    module = torch.nn.Bilinear(WIDTH, WIDTH, 3)
    one, other = torch.ones(2, WIDTH), torch.zeros(2, WIDTH)
    given: list[Any] = []
    returned: list[Any] = []
    plain = module(one, other)
    with hooks(
        before=[(module, lambda inputs, named: given.append((inputs, named)))],
        after=[(module, returned.append)],
    ):
        seen = module(one, input2=other)
    (((first,), named),) = given
    assert first is one
    assert named["input2"] is other
    assert returned[0] is seen  # a function that returns None leaves the output as it is
    torch.testing.assert_close(seen, plain, rtol=0, atol=0)
    with hooks(after=[(module, torch.zeros_like)]):
        assert not module(one, other).any()
    torch.testing.assert_close(module(one, other), plain, rtol=0, atol=0)


def test_hooks_act_in_the_thread_that_set_them_only() -> None:
    module = torch.nn.Linear(WIDTH, WIDTH)
    hidden = torch.arange(WIDTH, dtype=torch.float32)
    plain = module(hidden).detach()
    both_set = threading.Barrier(2, timeout=20)

    def reading(number: int) -> tuple[torch.Tensor, list[int]]:
        noted: list[int] = []
        with hooks(
            before=[(module, lambda inputs, named: noted.append(number))],
            after=[(module, lambda output: torch.full_like(output, number))],
        ):
            both_set.wait()
            found = module(hidden).detach()
            both_set.wait()
        return found, noted

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(reading, (11, 13)))
    for number, (found, noted) in zip((11, 13), results, strict=True):
        assert found.tolist() == [number] * WIDTH
        assert noted == [number]
    torch.testing.assert_close(module(hidden).detach(), plain, rtol=0, atol=0)


def test_a_thread_without_hooks_runs_the_module_as_it_is() -> None:
    module = torch.nn.Linear(WIDTH, WIDTH)
    hidden = torch.arange(WIDTH, dtype=torch.float32)
    plain = module(hidden).detach()
    noted: list[Any] = []
    with (
        hooks(
            before=[(module, lambda inputs, named: noted.append(inputs))],
            after=[(module, torch.zeros_like)],
        ),
        ThreadPoolExecutor(1) as pool,
    ):
        beside = pool.submit(lambda: module(hidden).detach()).result(timeout=20)
        assert noted == []
        assert not module(hidden).any()
    torch.testing.assert_close(beside, plain, rtol=0, atol=0)


def fail(*given: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("where", ["before", "after", "inside"])
def test_hooks_are_removed_after_an_exception(where: str) -> None:
    module = torch.nn.Linear(WIDTH, WIDTH)
    functions: dict[str, list[tuple[torch.nn.Module, Callable[..., Any]]]] = {
        "before": [(module, fail if where == "before" else lambda inputs, named: None)],
        "after": [(module, fail if where == "after" else lambda output: None)],
    }

    def run() -> None:
        with hooks(**functions):
            assert hooks_on(module) == 2
            if where == "inside":
                fail()
            module(torch.ones(WIDTH))

    with pytest.raises(ZeroDivisionError):
        run()
    assert hooks_on(module) == 0


def test_hooks_set_before_one_that_cannot_be_set_are_removed() -> None:
    module = torch.nn.Linear(WIDTH, WIDTH)
    scripted = object()
    with (
        pytest.raises(Exception, match="register_forward_hook|torch.nn"),
        hooks(after=[(module, fail), (scripted, fail)]),  # type: ignore[list-item]
    ):
        pass
    assert hooks_on(module) == 0


def test_somebody_elses_hooks_stay() -> None:
    module = torch.nn.Linear(WIDTH, WIDTH)
    handle = module.register_forward_hook(lambda module, inputs, output: 2 * output)
    doubled = module(torch.ones(WIDTH)).detach()
    seen: list[torch.Tensor] = []
    with hooks(after=[(module, seen.append)]):
        module(torch.ones(WIDTH))
    torch.testing.assert_close(seen[0].detach(), doubled, rtol=0, atol=0)
    assert hooks_on(module) == 1
    handle.remove()


def test_a_pass_of_another_thread_may_meet_a_hook_that_torch_has_half_registered() -> None:
    module = torch.nn.Linear(WIDTH, 3)
    given: list[Any] = []
    with hooks(before=[(module, lambda inputs, named: given.append((inputs, named)))]):
        # what another thread sees between the two steps of register_forward_pre_hook
        noted = dict(module._forward_pre_hooks_with_kwargs)
        module._forward_pre_hooks_with_kwargs.clear()
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(module, torch.ones(2, WIDTH)).result().shape == (2, 3)
        module._forward_pre_hooks_with_kwargs.update(noted)
        assert given == []
        module(torch.ones(2, WIDTH))
    assert len(given) == 1
