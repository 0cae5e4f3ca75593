"""The device of a training."""

import torch

from grmp_plugin.errors import InputError

DEVICES = ("auto", "cpu", "cuda")


def training_device(name: str) -> str:
    """`cpu` or `cuda`.

    Args:
        name: `cpu`, `cuda`, or `auto`: CUDA if available, else the CPU.

    Raises:
        InputError: For another name, or when there is no CUDA device.
    """
    if name.startswith("cuda:"):
        raise InputError(
            f"training runs on the first GPU that is visible, not on '{name}': set the environment variable "
            f"CUDA_VISIBLE_DEVICES={name.removeprefix('cuda:')}, and choose cuda",
            argument="device",
        )
    if name == "mps":
        raise InputError(
            "must be auto, cpu or cuda, not 'mps': scoring runs on MPS, training does not", argument="device"
        )
    if name not in DEVICES:
        raise InputError(
            f"must be {', '.join(DEVICES[:-1])} or {DEVICES[-1]}, not '{name}'", argument="device"
        )
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device; choose cpu", argument="device")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
