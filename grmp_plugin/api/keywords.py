"""Names of keyword arguments, checked where a function passes some of them on."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from grmp_plugin.data.ratings_file import RatingsOptions
from grmp_plugin.suggest import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


def takes_ratings_options(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that passes `RatingsOptions` on, so that a misspelled name is its own error.

    Without it, `adapt(..., shot=50)` would be told of after seconds, as a mistake in `read_ratings`.
    """
    parameters = inspect.signature(function).parameters.values()
    named = {one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD}
    known = named | RatingsOptions.__annotations__.keys()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs.keys() - known:
            hint = did_you_mean(name, sorted(known))
            raise TypeError(
                f"{function.__name__}() got an unexpected keyword argument '{name}'" + (hint and f". {hint}")
            )
        return function(*args, **kwargs)

    return call
