"""Files that are read in a thread beside the work on those before them, in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Result], weigh: Callable[[Result], int], limit: int
) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Give each item with a call that gives what `read` makes of it, or raises what it raised.

    A thread reads the next items meanwhile, until what waits weighs `limit` by `weigh`.
    """
    shelf: _Shelf[Item, Result] = _Shelf(limit)
    thread = threading.Thread(target=shelf.fill, args=(items, read, weigh), daemon=True)
    thread.start()
    try:
        yield from shelf.empty()
    finally:
        shelf.close()
        thread.join()


class _Shelf(Generic[Item, Result]):
    """What has been read, and waits."""

    def __init__(self, limit: int) -> None:
        self._limit, self._weight = limit, 0
        self._waiting: deque[tuple[Item, Callable[[], Result], int]] = deque()
        self._changed = threading.Condition()
        self._is_full = self._is_closed = False

    def fill(
        self, items: Iterable[Item], read: Callable[[Item], Result], weigh: Callable[[Result], int]
    ) -> None:
        """Read one item after the other, as long as there is room."""
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(lambda: self._weight < self._limit or self._is_closed)
                    if self._is_closed:
                        return
                take, weight = _try(read, item, weigh)
                with self._changed:
                    self._waiting.append((item, take, weight))
                    self._weight += weight
                    self._changed.notify_all()
        finally:  # whatever happens here, nobody must wait for ever
            with self._changed:
                self._is_full = True
                self._changed.notify_all()

    def empty(self) -> Iterator[tuple[Item, Callable[[], Result]]]:
        """Take what is there, in order; wait for what is not."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_full)
                if not self._waiting:
                    return
                item, take, weight = self._waiting.popleft()
                self._weight -= weight
                self._changed.notify_all()
            yield item, take
            del take

    def close(self) -> None:
        """Read no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def _try(
    read: Callable[[Item], Result], item: Item, weigh: Callable[[Result], int]
) -> tuple[Callable[[], Result], int]:
    """Read an item: a call that gives the result or raises the error, and its weight."""
    try:
        result = read(item)
    except Exception as error:
        raised = error

        def fail() -> Result:
            raise raised

        return fail, 1
    return lambda: result, weigh(result)
