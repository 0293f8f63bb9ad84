"""Files read in a thread beside the work on others: in order, within bounds, errors where they belong."""

import threading
import time

import pytest

from janus_cli.shell.ahead import read_ahead


def test_results_come_in_order_each_with_its_error():
    def read(n: int) -> int:
        if n == 2:
            raise ValueError("two")
        return 10 * n

    taken = []
    for item, take in read_ahead(range(5), read, lambda _: 1, 3):
        if item == 2:
            with pytest.raises(ValueError, match="two"):
                take()
        else:
            taken.append(take())
    assert taken == [0, 10, 30, 40]


def test_the_next_are_read_meanwhile_and_no_more_than_fit():
    begun: list[int] = []
    threads = threading.active_count()
    at_rest = threading.Event()

    def read(n: int) -> int:
        begun.append(n)
        if len(begun) == 4:
            at_rest.set()
        return n

    results = read_ahead(range(100), read, lambda _: 5, 15)
    assert next(results)[1]() == 0
    assert at_rest.wait(10)  # 1, 2 and 3 weigh 15, beside the one that is worked on
    time.sleep(0.05)
    assert begun == [0, 1, 2, 3]
    results.close()
    assert begun == [0, 1, 2, 3] and threading.active_count() == threads


def test_nothing_is_read_of_nothing():
    assert list(read_ahead([], str, len, 1)) == []
