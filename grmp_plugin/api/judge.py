"""A model made ready to score: on its device, in its precision, on the scale that is wanted."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from grmp_plugin.config import from_dict
from grmp_plugin.data.images import DEFAULT_PIXEL_LIMIT
from grmp_plugin.data.ratings import DECLARED, MosScale, range_ends
from grmp_plugin.errors import CheckpointError, ConfigError, InputError
from grmp_plugin.plain_data import shown
from grmp_plugin.run_record import RunRecord, Stopwatch
from grmp_plugin.training.interval import PredictionInterval

if TYPE_CHECKING:
    from grmp_plugin.api.models import LoadedModel, Model
    from grmp_plugin.evaluation.scoring import ImageScore

SCALES = ("quality", "mos")


class Judge:
    """A model made ready to score.

    Args:
        model, scale, mos_range, interval, device, precision, batch_size, pixel_limit: As for `score`, which
            lists the errors, too.
    """

    def __init__(
        self,
        model: "Model",
        *,
        scale: str = "quality",
        mos_range: tuple[float, float] | None = None,
        interval: bool = False,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        pixel_limit: int = DEFAULT_PIXEL_LIMIT,
    ) -> None:
        _check_arguments(scale, mos_range, interval, batch_size, pixel_limit)
        from grmp_plugin.api.models import load_model
        from grmp_plugin.evaluation.scoring import Scorer, ScoringOptions, pick_device

        options = ScoringOptions(device, precision, batch_size, pixel_limit)
        pick_device(device)  # before anything is downloaded in vain
        self.model = load_model(model)
        self.scale = mos_scale(self.model, mos_range) if scale == "mos" else None
        self.interval = _interval(self.model, self.scale) if interval and self.scale is not None else None
        self.scorer = Scorer(self.model.network, options)

    def on_scale(self, result: "ImageScore") -> "ImageScore":
        """A score from 0 to 1 on the scale that is wanted."""
        if result.score is None or self.scale is None:
            return result
        return replace(result, score=float(self.scale.to_mos(result.score)))

    def details(self) -> dict[str, Any]:
        """What determines a score, as plain data."""
        config = self.scorer.network.config
        return {
            "model": self.model.name,
            "weights_sha256": self.model.weights_sha256,
            "backbone": config.backbone.name,
            "precision": self.scorer.precision,
            "preprocess": asdict(config.preprocess),
            "scale": "quality" if self.scale is None else asdict(self.scale),
            **({} if self.interval is None else {"interval": asdict(self.interval)}),
        }

    def record(self, watch: Stopwatch, summary: Mapping[str, Any]) -> RunRecord:
        """The record of a run that began with `watch`."""
        details = {**self.details(), **summary}
        device = str(self.scorer.device)
        return RunRecord("score", watch.date, device, seed=None, seconds=watch.seconds, details=details)


def mos_scale(model: "LoadedModel", mos_range: tuple[float, float] | None) -> MosScale:
    """The scale of predicted MOS: as declared, or as the checkpoint records it.

    Args:
        model: The direction of its ratings holds for a declared range, too.
        mos_range: Low and high end, where declared.

    Raises:
        InputError: When the range is none, or there is neither.
    """
    known = _recorded_scale(model)
    if mos_range is not None:
        try:
            return MosScale(
                *range_ends(mos_range), lower_better=bool(known and known.lower_better), source=DECLARED
            )
        except ConfigError as error:
            raise InputError(error.message, argument="mos_range") from error
    if known is None:
        raise InputError(
            f"{model.name} does not record the scale of its ratings, so it cannot predict MOS; "
            "models made by grmp adapt record it",
            see=("mos_range",),
        )
    return known


def _recorded_scale(model: "LoadedModel") -> MosScale | None:
    recorded = model.network.info.get("mos_scale")
    try:
        return None if recorded is None else from_dict(MosScale, recorded, f"{model.name}: mos_scale")
    except ConfigError as error:
        raise CheckpointError(error.message) from error


def _interval(model: "LoadedModel", scale: MosScale) -> PredictionInterval:
    """How far predicted MOS is off on a scale, as the checkpoint records it for its own."""
    recorded, own = model.network.info.get("interval"), _recorded_scale(model)
    if recorded is None or own is None:
        raise InputError(
            f"{model.name} does not record how far its predictions are off: it was adapted with method "
            "prompts, with fewer than 9 shots, or by an earlier version. Adapt it again with method ridge or "
            "auto and more shots, or score without intervals",
            argument="interval",
        )
    try:
        known = from_dict(PredictionInterval, recorded, f"{model.name}: interval")
        stretched = (scale.high - scale.low) / (own.high - own.low)
        return replace(known, half_width=known.half_width * stretched)
    except ConfigError as error:
        raise CheckpointError(error.message) from error


def _check_arguments(
    scale: str,
    mos_range: tuple[float, float] | None,
    interval: bool,
    batch_size: int | None,
    pixel_limit: int,
) -> None:
    if scale not in SCALES:
        raise InputError(f"'{scale}' is none of {', '.join(SCALES)}", argument="scale")
    if mos_range is not None and scale != "mos":
        raise InputError(
            "applies to predicted MOS only, not to quality", argument="mos_range", see=("scale",)
        )
    if interval and scale != "mos":
        raise InputError("applies to predicted MOS only, not to quality", argument="interval", see=("scale",))
    for name, value in (("batch_size", batch_size), ("pixel_limit", pixel_limit)):
        if value is not None and not (isinstance(value, Integral) and value >= 1):
            raise InputError(f"must be a whole number of at least 1, not {shown(value)}", argument=name)
