"""Base class of both trainers, on pyiqa's model class: parameters that learn, saving, validation."""

import copy
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pyiqa.models.base_model import BaseModel
from pyiqa.models.general_iqa_model import GeneralIQAModel
from torch import Tensor, nn

from grmp_plugin.config import check_keys, from_dict
from grmp_plugin.data.learned_images import SECTION
from grmp_plugin.errors import ConfigError
from grmp_plugin.network.checkpoint import Checkpoint, write_checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import without_head
from grmp_plugin.network.learned import learn_only
from grmp_plugin.network.start import starting_checkpoint

# Apart enough that different seeds never give the same number at different steps.
_SEEDS_APART = 1_000_003


# What holds for all networks that are trained from a start; its other facts describe its own training.
_STARTS_FACTS = ("licence", "origin", SECTION)
# Keys of the section `train` that pyiqa reads.
_PYIQAS = ("optim", "scheduler", "total_iter", "total_epoch", "warmup_iter")

T = TypeVar("T")


class GRMPTrainer(GeneralIQAModel):  # type: ignore[misc, unused-ignore]
    """A GRMP-IQA network in training, for `python -m pyiqa.train` and for this project's own loop.

    All randomness is a function of `manual_seed` and the step, so that a resumed training takes the same
    steps as an uninterrupted one.

    Args:
        opt: pyiqa's options. Used are `num_gpu`, `is_train`, `dist`, `manual_seed`, `network` (`type:
            GRMPIQA`, and `model` or `pretrained_model_path`: an argument of `starting_checkpoint`, or a
            `Checkpoint`), `train.optim`, `train.scheduler`, and those that the subclass documents. `save`
            writes to `path.models`.

    Raises:
        ConfigError: When the options cannot be used, or ask for several processes or GPUs.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        BaseModel.__init__(self, opt)
        network = dict(opt["network"])
        if network.get("type", "GRMPIQA") != "GRMPIQA":
            raise ConfigError(f"network: type: this trainer trains GRMPIQA, not {network['type']}")
        check_keys(network, ("type", "model", "pretrained_model_path"), "network")
        if opt.get("path", {}).get("pretrain_network"):
            raise ConfigError(
                "path: pretrain_network has no effect on this trainer; name the checkpoint as network: "
                "pretrained_model_path"
            )
        if opt["is_train"]:
            _check_single(opt)
        self.seed = int(opt.get("manual_seed") or 0)
        start = network.get("pretrained_model_path") or network.get("model", "grmp_iqa-tiny")
        self.start = start if isinstance(start, Checkpoint) else self._starting_checkpoint(start)
        if self.is_train:
            # A linear head was fitted to the prompts and features that will change.
            self.start = without_head(self.start)
        self.net: GRMPIQA = GRMPIQA(self.start).to(self.device)
        self.learned: dict[str, nn.Parameter] = {}
        self.info: dict[str, Any] = {}
        self.log_dict: OrderedDict[str, float] = OrderedDict()
        if self.is_train:
            self.init_training_settings()

    def _starting_checkpoint(self, model: str) -> Checkpoint:
        return starting_checkpoint(model, self.seed)

    def learned_names(self) -> list[str]:
        """Names of the parameters to learn."""
        raise NotImplementedError

    def init_training_settings(self) -> None:
        """Choose the parameters to learn, and set up optimizer and schedule."""
        self.learned = learn_only(self.net, self.learned_names())
        self.start_values = {name: p.detach().clone() for name, p in self.learned.items()}
        self.net.train()
        # pyiqa copies the best network here; we write it to a file instead.
        self.net_best = self.net
        self.setup_optimizers()
        if self.opt["train"].get("scheduler"):
            self.setup_schedulers()

    def setup_optimizers(self) -> None:
        """Make the optimizer of `train.optim` over the parameters to learn."""
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
        # pyiqa looks the class up in torch.optim by name.
        except (AttributeError, TypeError) as error:
            raise ConfigError(
                f"train: optim: {error}. Expected type, the name of a class of torch.optim, and its options"
            ) from error
        self.optimizers = [self.optimizer]

    def train_options(self, kind: type[T]) -> T:
        """This trainer's options in the section `train`, beside those that pyiqa reads there.

        Args:
            kind: A frozen dataclass of the options, with their defaults.

        Raises:
            ConfigError: For an unknown key or a value of the wrong type.
        """
        given = {name: value for name, value in self.opt["train"].items() if name not in _PYIQAS}
        return from_dict(kind, given, "train")

    def reseed(self, step: int) -> torch.Generator:
        """Seed torch by the seed and the step.

        Args:
            step: Number of the step, from 0.

        Returns:
            A generator for the choice of views. With seed 0 both are seeded as in the authors' code.
        """
        number = self.seed * _SEEDS_APART + step
        torch.manual_seed(number)
        return torch.Generator().manual_seed(number)

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch of one of our data sets, or of one of pyiqa's for validation.

        Args:
            data: `img`: (B, V, 3, R, R) views, 8 bit or in [0, 1], or (B, 3, H, W) images in [0, 1];
                `mos_label`: (B, 1); `index`: (B,), number of each image in the data set.
        """
        self.img_input = data["img"].to(self.device)
        self.image_numbers = data["index"].flatten().tolist() if "index" in data else None
        if "mos_label" in data:
            self.gt_mos = data["mos_label"].to(self.device)

    def test(self) -> None:
        """Score the batch that was fed, into `output_score`, (B, 1)."""
        self.net.eval()
        with torch.no_grad():
            score = self.net.score_views if self.img_input.ndim == 5 else self.net
            self.output_score = score(as_floats(self.img_input))
        self.net.train()

    def checkpoint(self) -> Checkpoint:
        """The network as a checkpoint: all tensors, or those that differ from a downloadable backbone."""
        state = self.net.state_dict()
        if self.start.config.backbone.weights is not None:
            kept = self.start.tensors.keys() | self.learned.keys()
            state = {name: tensor for name, tensor in state.items() if name in kept}
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        return Checkpoint(self.start.config, tensors, {**facts_of_start(self.start), **self.info})

    def moved(self) -> float:
        """Distance of the learned parameters from the start, relative to their norm there."""
        distance = sum(
            float((p.detach() - self.start_values[name]).square().sum()) for name, p in self.learned.items()
        )
        norm = sum(float(value.square().sum()) for value in self.start_values.values())
        return float((distance / norm) ** 0.5)

    def training_state(self) -> dict[str, Any]:
        """Everything that changed since the trainer was made, for `load_training_state`."""
        return {
            "learned": {name: p.detach().cpu().clone() for name, p in self.learned.items()},
            # The state dict holds the optimizer's own tensors, which the next step changes.
            "optimizers": [copy.deepcopy(optimizer.state_dict()) for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `training_state`, in a trainer made with the same options."""
        self.set_learned(state["learned"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
            _check_shapes(optimizer)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)

    @torch.no_grad()
    def set_learned(self, values: Mapping[str, Tensor]) -> None:
        """Set the parameters that learn."""
        for name, parameter in self.learned.items():
            check_shape(name, values[name], parameter)
            parameter.copy_(values[name])

    def save_network(
        self, net: nn.Module, net_label: str, current_iter: int | None = None, param_key: str = "params"
    ) -> None:
        """Write a checkpoint of ours instead of pyiqa's pickle."""
        label = net_label if current_iter is None else f"{net_label}_{_label(current_iter)}"
        write_checkpoint(self.checkpoint(), Path(self.opt["path"]["models"]) / f"{label}.safetensors")

    def save(self, epoch: int, current_iter: int, save_net_label: str = "net") -> None:
        """Write the network. No state: pyiqa cannot resume on a CPU, and restores no weights."""
        self.save_network(self.net, save_net_label, current_iter)


def check_shape(name: str, value: Tensor, parameter: Tensor) -> None:
    """Raise ValueError unless a value has the shape of a parameter and is finite."""
    if value.shape != parameter.shape or not value.isfinite().all():
        raise ValueError(f"{name}: {tuple(value.shape)} for {tuple(parameter.shape)}, or not finite")


def _check_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Check what an optimizer keeps for each parameter: numbers, and tensors of the parameter's shape."""
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.ndim:
                check_shape(name, value, parameter)


def as_floats(images: Tensor) -> Tensor:
    """8-bit images as floats in [0, 1]; floats unchanged."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _check_single(opt: Mapping[str, Any]) -> None:
    """Refuse to train in several processes or on several GPUs, for which gradients are not averaged."""
    # pyiqa's command without --launcher takes every process of torchrun for the only one.
    processes = int(os.environ.get("WORLD_SIZE", "1")) if "world_size" in opt else 1
    if opt.get("dist") or processes > 1:
        raise ConfigError(
            "this trainer runs in one process: its gradients are not averaged over processes. Start `python "
            "-m pyiqa.train` by itself, without torchrun and without --launcher"
        )
    if opt["num_gpu"] > 1:
        raise ConfigError(
            f"num_gpu: this trainer uses one GPU, not {opt['num_gpu']}; write num_gpu: 1 (auto means all "
            "that CUDA_VISIBLE_DEVICES leaves)"
        )


def _label(current_iter: int) -> str:
    return "latest" if current_iter == -1 else str(current_iter)


def facts_of_start(start: Checkpoint) -> dict[str, Any]:
    """What the history of a trained network takes over from that of its start."""
    return {name: start.info[name] for name in _STARTS_FACTS if name in start.info}
