"""The methods that a benchmark compares, by name."""

from dataclasses import dataclass

from grmp_plugin.errors import InputError
from grmp_plugin.suggest import did_you_mean


@dataclass(frozen=True)
class Method:
    """One way from a start and some shots to predictions.

    Attributes:
        name: As the caller writes it.
        summary: What it does, for tables and help.
        by_gradients: Whether it takes gradient steps, so that its settings decide the result.
        regularized: Whether it is repeated for each lambda.
        needs: Package that it needs beside those that are always installed; empty if none.
    """

    name: str
    summary: str
    by_gradients: bool = False
    regularized: bool = False
    needs: str = ""


METHODS = {
    method.name: method
    for method in (
        Method("zero-shot", "the start model as it is"),
        Method("grmp", "GRMP-IQA: gradient steps with regularization", True, True),
        Method("no-meta", "GRMP-IQA from new, random prompts instead of meta-prompts", True, True),
        Method("no-qgr", "GRMP-IQA without gradient regularization (lambda 0)", True),
        Method("ridge", "the linear head of grmp adapt --method ridge"),
        Method("auto", "grmp adapt: as cross-validation inside the shots chooses", True),
        Method("svr", "support vector regression on all that the head reads", needs="sklearn"),
        Method("probe", "linear probe: ridge regression on the image features", needs="sklearn"),
        Method("coop", "CoOp: gradient steps on the context alone", True),
        Method("lora", "LoRA: low-rank steps on the attention of the image tower", True),
        Method("finetune", "gradient steps on context and all image blocks, without regularization", True),
    )
}
DEFAULT_METHODS = ("zero-shot", "grmp", "no-meta", "no-qgr", "ridge", "auto")


def check_methods(names: tuple[str, ...]) -> None:
    """Raise InputError for a name that no method has."""
    for name in names:
        if name not in METHODS:
            hint = did_you_mean(name, tuple(METHODS)) or f"Methods: {', '.join(METHODS)}."
            raise InputError(f"unknown method '{name}'. {hint}", argument="methods")


def check_packages(names: tuple[str, ...]) -> None:
    """Raise InputError when a package that a method needs is not installed."""
    from importlib.util import find_spec

    for name in names:
        if METHODS[name].needs and find_spec(METHODS[name].needs) is None:
            raise InputError(
                f"{name} needs scikit-learn: pip install 'grmp-iqa[benchmark]'", argument="methods"
            )
