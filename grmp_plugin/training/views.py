"""The view of each image that a training step sees."""

import torch
from torch import Tensor

from grmp_plugin.config import PreprocessConfig
from grmp_plugin.errors import InputError


def pick_views(images: Tensor, config: PreprocessConfig, generator: torch.Generator) -> Tensor:
    """One view of each image, cropped and flipped at random.

    Squashed images are cropped at the same position in the whole batch, and all flipped when that position
    lies in the left half, as in the authors' code. For crops, one is picked per image and flipped with
    probability 1/2.

    Args:
        images: (B, V, 3, R, R) from `make_training_views`.
        config: How they were made.
        generator: Source of randomness, on the CPU.

    Returns:
        (B, 3, S, S).

    Raises:
        InputError: When the images are smaller than a view.
    """
    side = images.shape[-1]
    if side < config.size or images.shape[-2] != side:
        raise InputError(
            f"training images of {tuple(images.shape[-2:])} pixels do not fit a view of {config.size}: "
            "use the data set GRMPShotsDataset with the model that is trained"
        )
    margin = side - config.size
    if margin > 0:
        # The authors' code draws three numbers and uses two.
        top, left, _ = torch.randint(margin, (3,), generator=generator).tolist()
        views = images[:, 0, :, top : top + config.size, left : left + config.size]
        return views.flip(-1) if left < margin // 2 else views
    chosen, flipped = draw_crops(len(images), images.shape[1], generator)
    views = images[torch.arange(len(images)), chosen]
    return torch.where(flipped.to(views.device)[:, None, None, None], views.flip(-1), views)


def draw_crops(images: int, crops: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a crop for each image, and whether to flip it: (B,) integers and (B,) booleans."""
    flipped = torch.rand(images, generator=generator) < 0.5
    return torch.randint(crops, (images,), generator=generator), flipped
