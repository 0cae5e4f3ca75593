"""Errors that name the configuration file when the value at fault comes from it."""

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from grmp_plugin.errors import GRMPError
from grmp_plugin.training.presets import configured_keys

P = ParamSpec("P")
R = TypeVar("R")


def names_configuration(stage: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function whose argument `config` stands in for arguments that are not given.

    An error about such an argument speaks of the file, as the caller never gave the argument.

    Args:
        stage: `adapt` or `pretrain`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except GRMPError as error:
                given = signature.bind(*args, **kwargs).arguments
                if not _is_configured(error.argument, given, stage):
                    raise
                text = f"{os.fspath(given['config'])}: {error.argument}: {error.message}"
                raise type(error)(text, see=error.see) from error

        return call

    return decorate


def _is_configured(argument: str | None, given: dict[str, Any], stage: str) -> bool:
    config = given.get("config")
    if config is None or argument is None or given.get(argument) is not None:
        return False
    return argument in configured_keys(config, stage)
