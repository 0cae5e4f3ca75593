"""Few-shot adaptation with quality-aware gradient regularization, as a model of pyiqa."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grmp_plugin.errors import ConfigError, TrainingError
from grmp_plugin.network.learned import adaptation_names
from grmp_plugin.training.frozen import FrozenPart, Shown
from grmp_plugin.training.gradient import Regularized, regularize
from grmp_plugin.training.losses import quality_loss, semantic_loss
from grmp_plugin.training.teacher import Teacher
from grmp_plugin.training.trainer import GRMPTrainer

# Steps in a row that may be left out before training counts as failed.
_PATIENCE = 10


@dataclass(frozen=True)
class AdaptOptions:
    """What `GRMPAdaptModel` reads of pyiqa's section `train`."""

    strength: float = 5.0  # lambda of the gradient regularization

    def __post_init__(self) -> None:
        """Reject what cannot work, quoting the value."""
        if self.strength < 0:
            raise ConfigError(f"strength is not negative, as {self.strength} is")


class GRMPAdaptModel(GRMPTrainer):
    """Learns from rated images: quality, without the part of the gradient that is about the scene.

    Args:
        opt: as for `GRMPTrainer`; `train` as `AdaptOptions`.

    Source: arXiv:2409.05381.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.regularized: Regularized | None = None
        self._skipped = 0
        super().__init__(opt)

    def learned_names(self) -> list[str]:
        """Context, the last third of both towers, and their final LayerNorms."""
        return adaptation_names(self.net)

    def init_training_settings(self) -> None:
        """Choose what learns, make the teacher from what the network is now."""
        self.strength = self.train_options(AdaptOptions).strength
        super().init_training_settings()
        self.teacher = Teacher(self.net, self.learned) if self.strength else None
        self.frozen = FrozenPart(self.net, self.teacher)

    def losses(self, shown: Shown, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """Quality loss and semantic loss over one forward pass.

        Args:
            shown: what the batch shows.
            quality: (B,) in [0, 1].

        Returns:
            Two scalars; the second is None without regularization.
        """
        features = self.net.token_features(shown.tokens)
        about_quality = quality_loss(self.net.quality_logits(features), quality)
        if shown.scenes is None:
            return about_quality, None
        return about_quality, semantic_loss(self.net.scene_logits(features), shown.scenes)

    def regularized_gradients(self, shown: Shown, quality: Tensor) -> Regularized:
        """Gradients of both losses for all that learns, the first one regularized by the second.

        Leaves the losses in `log_dict`. Arguments as for `losses`.
        """
        parameters = list(self.learned.values())
        about_quality, about_scenes = self.losses(shown, quality)
        self.log_dict = OrderedDict(l_quality=about_quality.item())
        first = torch.autograd.grad(
            about_quality, parameters, retain_graph=about_scenes is not None, allow_unused=True
        )
        if about_scenes is None:
            return regularize(first, [None] * len(first), 0.0)
        self.log_dict["l_semantic"] = about_scenes.item()
        second = torch.autograd.grad(about_scenes, parameters, allow_unused=True)
        result = regularize(first, second, self.strength)
        self.log_dict["angle"] = result.angle
        self.log_dict["projected"] = result.share_projected
        if result.not_finite:
            self.log_dict["not_finite"] = result.not_finite
        return result

    def try_gradients(self, data: dict[str, Any]) -> None:
        """Do the work of a step on a batch without taking it, to see how long it takes."""
        self.feed_data(data)
        shown = self.frozen.show(self.img_input, self.image_numbers, self.reseed(0))
        self.net.train()
        self.regularized_gradients(shown, self.gt_mos[:, 0])

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on what was fed; left out, and counted as such, where a gradient is not finite.

        Args:
            current_iter: number of the step, from 1, as pyiqa counts.

        Raises:
            TrainingError: when too many steps in a row had to be left out.
        """
        shown = self.frozen.show(self.img_input, self.image_numbers, self.reseed(current_iter - 1))
        self.net.train()
        self.regularized = self.regularized_gradients(shown, self.gt_mos[:, 0])
        if self.regularized.usable:
            self._skipped = 0
            for parameter, gradient in zip(self.learned.values(), self.regularized.gradients, strict=True):
                parameter.grad = gradient
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            return
        self._skipped += 1
        self.log_dict["skipped"] = self._skipped
        if self._skipped >= _PATIENCE:
            raise TrainingError(
                f"the gradients of {_PATIENCE} steps in a row were not finite: take a smaller learning rate "
                f"than {self.get_current_learning_rate()[0]:g}"
            )
