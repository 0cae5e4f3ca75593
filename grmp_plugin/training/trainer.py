"""What both trainers share, on pyiqa's model class: building, learning parameters, saving, validation."""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pyiqa.models.base_model import BaseModel
from pyiqa.models.general_iqa_model import GeneralIQAModel
from torch import Tensor, nn

from grmp_plugin.config import check_keys, from_dict
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.checkpoint import Checkpoint, write_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.learned import learn_only
from grmp_plugin.network.start import starting_checkpoint

# Draws of different seeds must not meet at different steps.
_SEEDS_APART = 1_000_003


# What pyiqa reads of the section `train`.
_PYIQAS = ("optim", "scheduler", "total_iter", "total_epoch", "warmup_iter")

T = TypeVar("T")


class GRMPTrainer(GeneralIQAModel):
    """A GRMP-IQA network in training, for `python -m pyiqa.train` and for this project's own loop.

    Everything random is a function of `manual_seed` and the step, so that a resumed training takes the
    same steps as one that was never interrupted.

    Args:
        opt: pyiqa's options. Read are `num_gpu`, `is_train`, `dist`, `manual_seed`, `network` (`type:
            GRMPIQA`, and `model` or `pretrained_model_path`: what `starting_checkpoint` takes, or a
            `Checkpoint`), `train.optim`, `train.scheduler`, and what the subclass names. `path.models` is
            where `save` writes.

    Raises:
        ConfigError: when the options cannot be used.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        BaseModel.__init__(self, opt)
        network = dict(opt["network"])
        if network.get("type", "GRMPIQA") != "GRMPIQA":
            raise ConfigError(f"network: type: this trainer trains GRMPIQA, not {network['type']}")
        check_keys(network, ("type", "model", "pretrained_model_path"), "network")
        if opt.get("path", {}).get("pretrain_network"):
            raise ConfigError(
                "path: pretrain_network is not read by this trainer: name the checkpoint as network: "
                "pretrained_model_path"
            )
        self.seed = int(opt.get("manual_seed") or 0)
        start = network.get("pretrained_model_path") or network.get("model", "grmp_iqa-tiny")
        self.start = start if isinstance(start, Checkpoint) else self._starting_checkpoint(start)
        self.net: GRMPIQA = GRMPIQA(self.start).to(self.device)
        self.learned: dict[str, nn.Parameter] = {}
        self.info: dict[str, Any] = {}
        self.log_dict: OrderedDict[str, float] = OrderedDict()
        if self.is_train:
            self.init_training_settings()

    def _starting_checkpoint(self, model: str) -> Checkpoint:
        return starting_checkpoint(model, self.seed)

    def learned_names(self) -> list[str]:
        """Names of the parameters that learn."""
        raise NotImplementedError

    def init_training_settings(self) -> None:
        """Choose what learns, and set up optimizer and schedule."""
        self.learned = learn_only(self.net, self.learned_names())
        self.start_values = {name: p.detach().clone() for name, p in self.learned.items()}
        self.net.train()
        # pyiqa keeps the best network in a second one; here its weights are in a file, and no copy is needed.
        self.net_best = self.net
        self.setup_optimizers()
        if self.opt["train"].get("scheduler"):
            self.setup_schedulers()

    def setup_optimizers(self) -> None:
        """The optimizer of `train.optim` over the parameters that learn."""
        options = dict(self.opt["train"]["optim"])
        kind = options.pop("type", None)
        for name, value in options.items():
            if isinstance(value, str):
                raise ConfigError(
                    f"train: optim: {name}: expected a number, found the text {value!r} (YAML reads 1e-4 as "
                    "text: write 1.0e-4)"
                )
        try:
            self.optimizer = self.get_optimizer(kind, list(self.learned.values()), **options)
        # pyiqa takes the class from torch.optim by its name.
        except (AttributeError, TypeError) as error:
            raise ConfigError(
                f"train: optim: {error}. Expected type, the name of a class of torch.optim, and its options"
            ) from error
        self.optimizers = [self.optimizer]

    def train_options(self, kind: type[T]) -> T:
        """What the section `train` says for this trainer, beside what pyiqa itself reads there.

        Args:
            kind: a frozen dataclass of the options, with their defaults.

        Raises:
            ConfigError: for an unknown key or a value of the wrong kind.
        """
        given = {name: value for name, value in self.opt["train"].items() if name not in _PYIQAS}
        return from_dict(kind, given, "train")

    def reseed(self, step: int) -> torch.Generator:
        """Make all that is random a function of the seed and the step.

        Args:
            step: number of the step, from 0.

        Returns:
            A generator for the choice of views. With seed 0 both are seeded as the authors' code does it.
        """
        number = self.seed * _SEEDS_APART + step
        torch.manual_seed(number)
        return torch.Generator().manual_seed(number)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch of a data set of ours, or of pyiqa's for validation.

        Args:
            data: `img`: (B, V, 3, R, R) views, 8 bit or in [0, 1], or (B, 3, H, W) images in [0, 1];
                `mos_label`: (B, 1); `index`: (B,), which image of the data set each is.
        """
        self.img_input = data["img"].to(self.device)
        self.image_numbers = data["index"].flatten().tolist() if "index" in data else None
        if "mos_label" in data:
            self.gt_mos = data["mos_label"].to(self.device)

    def test(self) -> None:
        """Score what was fed, into `output_score`, (B, 1)."""
        self.net.eval()
        with torch.no_grad():
            score = self.net.score_views if self.img_input.ndim == 5 else self.net
            self.output_score = score(as_floats(self.img_input))
        self.net.train()

    def checkpoint(self) -> Checkpoint:
        """The network as a checkpoint: what differs from a backbone that can be had again, or everything."""
        state = self.net.state_dict()
        if self.start.config.backbone.weights is not None:
            kept = self.start.tensors.keys() | self.learned.keys()
            state = {name: tensor for name, tensor in state.items() if name in kept}
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        # The rest of the start's facts are about how the start came to be.
        kept_facts = {
            name: self.start.info[name] for name in ("licence", "origin") if name in self.start.info
        }
        return Checkpoint(self.start.config, tensors, {**kept_facts, **self.info})

    def moved(self) -> float:
        """How far what learns is from where it started, relative to its norm there."""
        distance = sum(
            float((p.detach() - self.start_values[name]).square().sum()) for name, p in self.learned.items()
        )
        norm = sum(float(value.square().sum()) for value in self.start_values.values())
        return (distance / norm) ** 0.5

    def training_state(self) -> dict[str, Any]:
        """All that has changed since the trainer was made, for `load_training_state`."""
        return {
            "learned": {name: p.detach().cpu().clone() for name, p in self.learned.items()},
            # Its tensors are the optimizer's own, which the next step changes.
            "optimizers": [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `training_state` was called, on a trainer made with the same options."""
        self.set_learned(state["learned"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)

    @torch.no_grad()
    def set_learned(self, values: Mapping[str, Tensor]) -> None:
        """Give the parameters that learn other values."""
        for name, parameter in self.learned.items():
            parameter.copy_(values[name])

    def save_network(
        self, net: nn.Module, net_label: str, current_iter: int | None = None, param_key: str = "params"
    ) -> None:
        """Write a checkpoint that `grmp score` reads, in place of pyiqa's pickle."""
        label = net_label if current_iter is None else f"{net_label}_{_label(current_iter)}"
        write_checkpoint(self.checkpoint(), Path(self.opt["path"]["models"]) / f"{label}.safetensors")

    def save(self, epoch: int, current_iter: int, save_net_label: str = "net") -> None:
        """Write the network; pyiqa cannot resume on a CPU and restores no weights, so there is no state."""
        self.save_network(self.net, save_net_label, current_iter)


def as_floats(images: Tensor) -> Tensor:
    """8-bit images in [0, 1]; floats as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _label(current_iter: int) -> str:
    return "latest" if current_iter == -1 else str(current_iter)
