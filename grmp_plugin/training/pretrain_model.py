"""Meta-prompt pre-training over distortion tasks, as a model of pyiqa."""

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from grmp_plugin.data.learned_images import SECTION, with_learned
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.learned import prompt_names
from grmp_plugin.network.preprocess import normalize
from grmp_plugin.network.start import starting_checkpoint, with_new_prompts
from grmp_plugin.training.losses import quality_loss
from grmp_plugin.training.meta import Batch, Task, displace, inner_steps, outer_step
from grmp_plugin.training.settings import MetaSettings
from grmp_plugin.training.trainer import GRMPTrainer, as_floats, check_shape


class GRMPPretrainModel(GRMPTrainer):
    """Learns prompts that adapt to any kind of distortion in a few steps.

    An iteration is one task; an outer step follows every `tasks_per_step` tasks. In between, the network
    holds the prompts adapted to the last task; after an outer step, and when it is saved or validated, it
    holds the meta-prompts.

    Args:
        opt: See `GRMPTrainer`; `train.optim` is the inner optimizer, and `train` also takes the fields of
            `MetaSettings`. For a model given by name or file, new prompts are drawn with `manual_seed`;
            those of a `Checkpoint` are used as they are.

    Source: arXiv:2409.05381.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.theta: list[Tensor] = []
        self.displacement: list[Tensor] | None = None
        self.tasks_done = 0
        self._fed: dict[str, dict[str, str]] = {}
        self._read: dict[str, dict[str, str]] = {}
        super().__init__(opt)
        self.theta = self._values()

    def _starting_checkpoint(self, model: str) -> Checkpoint:
        return with_new_prompts(starting_checkpoint(model, self.seed), self.seed)

    def learned_names(self) -> list[str]:
        """Context, visual prompts, their projection and LayerNorm."""
        return prompt_names(self.net)

    def init_training_settings(self) -> None:
        """Read the settings of the outer loop."""
        options = self.train_options(MetaSettings)
        self.beta, self.tasks_per_step = options.outer_learning_rate, options.tasks_per_step
        self.support_batch, self.query_batch = options.support_batch, options.query_batch
        self.chained = options.protocol == "released"
        if self.opt["train"].get("scheduler"):
            raise ConfigError("train: scheduler: not supported, as each task has a new inner optimizer")
        if self.chained and "datasets" in self.opt:
            raise ConfigError(
                "train: protocol: released needs its tasks in an order that pyiqa's loader does not keep; "
                "use grmp_plugin.pretrain or the command grmp pretrain instead of pyiqa.train"
            )
        super().init_training_settings()

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take one task, or images for validation.

        Args:
            data: A task: `support` and `query`, (1, N, 3, S, S) views, 8 bit or in [0, 1];
                `support_quality` and `query_quality`, (1, N), in [0, 1]; `source`: (1,), number of the data
                set that the task comes from; `learned`, if there: for each collection and path, a list of
                one digest, which is recorded once it is learned from. For validation, see `GRMPTrainer`.
        """
        if "support" not in data:
            super().feed_data(data)
            return
        if len(data["support"]) != 1:
            raise ConfigError(f"datasets: batch_size_per_gpu must be 1 (task), not {len(data['support'])}")
        self.source = int(data["source"][0])
        self._fed = {
            collection: {path: digest for path, (digest,) in images.items()}
            for collection, images in data.get("learned", {}).items()
        }
        self.task = Task(
            self._batches(data["support"][0], data["support_quality"][0], self.support_batch),
            self._batches(data["query"][0], data["query_quality"][0], self.query_batch),
        )

    def optimize_parameters(self, current_iter: int) -> None:
        """Inner steps on the task that was fed, and an outer step after the last task of a group.

        Args:
            current_iter: Number of the task, from 1.
        """
        for collection, images in self._fed.items():
            self._read.setdefault(collection, {}).update(images)
        self.reseed(current_iter - 1)
        self.net.train()
        if not self.chained:
            self._set(self.theta)
        # The released code keeps one optimizer for its first data set, and makes a new one for each task of
        # the second.
        if not self.chained or self.source > 0:
            self.setup_optimizers()
        losses = inner_steps(self.task, self._loss, self.optimizer)
        self.displacement = displace(self.displacement, self.theta, self._values())
        self.tasks_done += 1
        self.log_dict = OrderedDict(
            l_support=sum(losses.support) / len(losses.support),
            l_query=sum(losses.query) / len(losses.query),
        )
        if self.tasks_done < self.tasks_per_step:
            return
        self.theta = outer_step(self.theta, self.displacement, self.tasks_done, self.beta)
        self.displacement, self.tasks_done = None, 0
        self.log_dict["moved"] = self.moved()
        if not self.chained:
            self._set(self.theta)

    def moved(self) -> float:
        """Distance of the meta-prompts from their start, relative to their norm there."""
        with self._meta_prompts():
            return super().moved()

    def training_state(self) -> dict[str, Any]:
        """The base class's state, the meta-prompts, the unfinished group of tasks, and what was read."""
        return {
            **super().training_state(),
            "theta": self.theta,
            "displacement": self.displacement,
            "tasks_done": self.tasks_done,
            "read": {collection: dict(images) for collection, images in self._read.items()},
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `training_state`."""
        super().load_training_state(state)
        self.theta, self.tasks_done = self._like_prompts(state["theta"]), int(state["tasks_done"])
        moved = state["displacement"]
        self.displacement = None if moved is None else self._like_prompts(moved)
        self._read = {collection: dict(images) for collection, images in state["read"].items()}
        if not all(isinstance(digest, str) for images in self._read.values() for digest in images.values()):
            raise ValueError("a digest is no text")

    def _like_prompts(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Saved values for all prompts, on the device; ValueError for values of another form."""
        for (name, prompt), value in zip(self.learned.items(), values, strict=True):
            check_shape(name, value, prompt)
        return [value.to(self.device) for value in values]

    def test(self) -> None:
        """Score the batch that was fed with the meta-prompts."""
        with self._meta_prompts():
            super().test()

    def checkpoint(self) -> Checkpoint:
        """The network with the meta-prompts as a checkpoint, with the digests of what it learned from."""
        with self._meta_prompts():
            found = super().checkpoint()
        learned = {collection: images.items() for collection, images in self._read.items()}
        record = with_learned(self.start.info, self.start.source, **learned)
        return dataclasses.replace(found, info={**found.info, SECTION: record}) if record else found

    @contextmanager
    def _meta_prompts(self) -> Iterator[None]:
        """Replace the prompts adapted to the last task by the meta-prompts."""
        inner = self._values()
        self._set(self.theta)
        try:
            yield
        finally:
            self._set(inner)

    def _loss(self, batch: Batch) -> Tensor:
        logits = self.net.quality_logits(self.net.image_features(batch.pixels))
        return quality_loss(logits, batch.quality)

    def _batches(self, images: Tensor, quality: Tensor, size: int) -> list[Batch]:
        config = self.net.config.preprocess
        return [
            Batch(normalize(as_floats(i.to(self.device)), config), q.to(self.device).float())
            for i, q in zip(images.split(size), quality.split(size), strict=True)
        ]

    def _values(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.learned.values()]

    def _set(self, values: list[Tensor]) -> None:
        self.set_learned(dict(zip(self.learned, values, strict=True)))
