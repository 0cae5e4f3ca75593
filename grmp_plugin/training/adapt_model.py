"""Few-shot adaptation with quality-aware gradient regularization, as a model of pyiqa."""

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from grmp_plugin.data.learned_images import SECTION, with_learned
from grmp_plugin.errors import TrainingError
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.learned import adaptation_names, first_changed_block
from grmp_plugin.training.autocast import Autocast
from grmp_plugin.training.frozen import FrozenPart, Shown
from grmp_plugin.training.gradient import Regularized, regularize
from grmp_plugin.training.losses import quality_loss, semantic_loss
from grmp_plugin.training.settings import StepSettings
from grmp_plugin.training.teacher import Teacher
from grmp_plugin.training.trainer import GRMPTrainer

# Skipped steps in a row after which training counts as failed.
_PATIENCE = 10


class GRMPAdaptModel(GRMPTrainer):
    """Learns quality from rated images, without the part of the gradient that is about image content.

    Args:
        opt: See `GRMPTrainer`; section `train` also takes the fields of `StepSettings`.

    Source: arXiv:2409.05381.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.regularized: Regularized | None = None
        self._skipped = 0
        self._fed: list[tuple[str, str]] = []
        self._shots: dict[str, str] = {}
        super().__init__(opt)

    def learned_names(self) -> list[str]:
        """Context, the last third of both towers, and their final LayerNorms."""
        return adaptation_names(self.net)

    def init_training_settings(self) -> None:
        """Choose the parameters to learn, and make the teacher from the present network."""
        settings = self.train_options(StepSettings)
        self.strength = settings.strength
        self.autocast = Autocast(self.device.type, settings.precision)
        super().init_training_settings()
        self.teacher = Teacher(self.net, self.learned) if self.strength else None
        block = first_changed_block(self.net, self.learned)
        self.frozen = FrozenPart(
            self.net, self.teacher, block=block, kept_views=settings.kept_views, seed=self.seed
        )

    def feed_data(self, data: dict[str, Any]) -> None:
        """See `GRMPTrainer`; paths and digests of images, if any, are recorded once they are learned from."""
        super().feed_data(data)
        self._fed = list(zip(data.get("img_path", ()), data.get("pixels_sha256", ()), strict=False))

    def checkpoint(self) -> Checkpoint:
        """The network as a checkpoint, with the digests of the images that it learned from."""
        found = super().checkpoint()
        if not self._shots:
            return found
        record = with_learned(self.start.info, self.start.source, ratings=self._shots.items())
        return dataclasses.replace(found, info={**found.info, SECTION: record})

    def training_state(self) -> dict[str, Any]:
        """See `GRMPTrainer`."""
        return {**super().training_state(), "loss_scale": self.autocast.scale}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """See `GRMPTrainer`."""
        super().load_training_state(state)
        self.autocast.load_scale(state["loss_scale"])

    def losses(self, shown: Shown, quality: Tensor) -> tuple[Tensor, Tensor | None]:
        """Quality loss and semantic loss from one forward pass.

        Args:
            shown: The batch after the frozen part.
            quality: (B,) in [0, 1].

        Returns:
            Two scalars; the second is None without regularization.
        """
        features = self.net.token_features(shown.tokens, shown.block)
        loss = quality_loss(self.net.quality_logits(features), quality)
        if shown.scenes is None:
            return loss, None
        return loss, semantic_loss(self.net.scene_logits(features), shown.scenes)

    def regularized_gradients(self, shown: Shown, quality: Tensor) -> Regularized:
        """Gradients of the quality loss, regularized by those of the semantic loss.

        Arguments as for `losses`; the losses are stored in `log_dict`.
        """
        parameters = list(self.learned.values())
        with self.autocast.context():
            loss, semantic = self.losses(shown, quality)
        first = self.autocast.gradients(loss, parameters, retain_graph=semantic is not None)
        if semantic is None:
            self.log_dict = OrderedDict(l_quality=loss.item())
            return regularize(first, [None] * len(first), 0.0)
        second = self.autocast.gradients(semantic, parameters)
        # In one transfer, and not before both gradients are under way.
        values = torch.stack([loss.detach(), semantic.detach()]).tolist()
        self.log_dict = OrderedDict(zip(("l_quality", "l_semantic"), values, strict=True))
        result = regularize(first, second, self.strength)
        self.log_dict["angle"] = result.angle
        self.log_dict["projected"] = result.share_projected
        if result.not_finite:
            self.log_dict["not_finite"] = result.not_finite
        return result

    def _show(self, step: int) -> Shown:
        """The batch that was fed, after the frozen part; the network is then in training mode."""
        generator = self.reseed(step)
        with self.autocast.context():
            shown = self.frozen.show(self.img_input, self.image_numbers, generator)
        self.net.train()
        return shown

    def try_gradients(self, data: dict[str, Any]) -> None:
        """Compute the gradients of a batch without a step, to measure how long it takes."""
        self.feed_data(data)
        shown = self._show(0)
        self.regularized_gradients(shown, self.gt_mos[:, 0])

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the batch that was fed; skipped and counted when a gradient is not finite.

        Args:
            current_iter: Number of the step, from 1, as pyiqa counts.

        Raises:
            TrainingError: When too many steps in a row were skipped.
        """
        self._shots.update(self._fed)
        shown = self._show(current_iter - 1)
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
                f"the gradients of {_PATIENCE} steps in a row were not finite: use a learning rate smaller "
                f"than {self.get_current_learning_rate()[0]:g}"
            )
