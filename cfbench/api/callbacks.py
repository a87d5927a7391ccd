"""Functions of the caller that hear of progress in the middle of a fit."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Callback(Generic[T]):
    """Calls a function if there is one, and interrupts the fit if the function raises an error."""

    def __init__(self, function: Callable[[T], None] | None) -> None:
        self._function, self._output = function, sys.stdout
        self.fault: Exception | None = None
        """The error of the function."""

    def __call__(self, news: T) -> None:
        """Call the function. Models let an interrupt pass, and it leaves a run or a trial that can be resumed."""
        if self._function is None:
            return
        try:
            with redirect_stdout(self._output):  # the output of a plugin's code goes to standard error
                self._function(news)
        except Exception as fault:
            self.fault = fault
            raise KeyboardInterrupt from fault
