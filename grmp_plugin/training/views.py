"""The view of each image that a training step looks at."""

import torch
from torch import Tensor

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.errors import InputError


def pick_views(images: Tensor, config: PreprocessConfig, generator: torch.Generator) -> Tensor:
    """One view of each image, cut and flipped at random.

    Squashed images are cut at one place for the whole batch, and all flipped when that place lies in the
    left half, as the method does it. Of crops one is picked for each image, and flipped half the time.

    Args:
        images: (B, V, 3, R, R) from `make_training_views`.
        config: how they were made.
        generator: source of randomness, on the CPU.

    Returns:
        (B, 3, S, S).

    Raises:
        InputError: when the images are smaller than a view.
    """
    side = images.shape[-1]
    if side < config.size or images.shape[-2] != side:
        raise InputError(
            f"training images of {tuple(images.shape[-2:])} pixels do not fit a view of {config.size}: "
            "use the data set GRMPShotsDataset with the model that is trained"
        )
    margin = side - config.size
    if margin > 0:
        # Three numbers, as the authors' code draws them; it uses two.
        top, left, _ = torch.randint(margin, (3,), generator=generator).tolist()
        views = images[:, 0, :, top : top + config.size, left : left + config.size]
        return views.flip(-1) if left < margin // 2 else views
    chosen, flipped = draw_crops(len(images), images.shape[1], generator)
    views = images[torch.arange(len(images)), chosen]
    return torch.where(flipped.to(views.device)[:, None, None, None], views.flip(-1), views)


def draw_crops(images: int, crops: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Which of its crops each image shows, and whether it is flipped: (B,) integers and (B,) booleans."""
    flipped = torch.rand(images, generator=generator) < 0.5
    return torch.randint(crops, (images,), generator=generator), flipped
