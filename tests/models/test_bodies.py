import threading

import torch

from isodepth.models import bodies


class Small:
    def num_parameters(self) -> int:
        return 5


def test_loads_that_overlap_leave_torch_its_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside, found = [threading.Event(), threading.Event()], {}

    def first() -> None:
        with bodies._few_threads(Small()):
            inside[0].set()
            assert inside[1].wait(10)
            found["inside"] = torch.get_num_threads()
        found["first"] = torch.get_num_threads()

    def second() -> None:
        assert inside[0].wait(10)
        with bodies._few_threads(Small()):
            inside[1].set()
            one.join()
        found["second"] = torch.get_num_threads()

    def later() -> None:
        found["later"] = torch.get_num_threads()

    one, two, three = (threading.Thread(target=work) for work in (first, second, later))
    try:
        one.start()
        two.start()
        two.join()
        three.start()
        three.join()
        assert found == {"inside": 1, "first": 3, "second": 3, "later": 3}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
