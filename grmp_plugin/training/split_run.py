"""Adaptation to the shots of one split: by gradients, by ridge regression, or as cross-validation chooses."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from grmp_plugin.data.ratings import MosScale, Ratings
from grmp_plugin.data.splits import Split
from grmp_plugin.errors import TrainingError
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.network.head import HeadInputs, without_head
from grmp_plugin.progress import Progress
from grmp_plugin.training.choice import (
    LEAST_FOR_GRADIENTS,
    LEAST_TO_CHOOSE,
    Tried,
    best,
    best_without_gradients,
    explained,
    left_out,
    line_left_out,
    parts,
    standard_error,
    within_parts,
)
from grmp_plugin.training.interval import PredictionInterval, prediction_interval
from grmp_plugin.training.loop import AfterEpoch
from grmp_plugin.training.prompts_run import AtEpochs, PromptsRun
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.ridge import Ridge, fit_ridge, start_logits
from grmp_plugin.training.scorer import RatedScorer
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.watch import Watch

_REPETITIONS = 10  # cross-validations of what needs no gradient step
_RATES = (1.0, 5.0)  # learning rates that are tried, relative to the settings'
_STOPS = (0.5, 1.0)  # epochs after which training stops, relative to the settings'

Save = Callable[[dict[str, Any]], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """An adapted network.

    Attributes:
        checkpoint: The network.
        tried: What cross-validation compared, and which of them was chosen.
        chosen: How the network was adapted.
        interval: How far its predicted MOS is off.
        run: The gradient steps; None without them.
    """

    checkpoint: Checkpoint
    tried: tuple[Tried, ...]
    chosen: str
    interval: PredictionInterval | None
    run: PromptsRun | None


class SplitRun:
    """Adapts a start to the shots of one split.

    Args:
        start: The model to adapt.
        ratings: All rated images.
        split: Which of them are shots.
        scale: Scale of the ratings.
        settings: Settings of the training.
        seed: Random seed.
        device: `cpu` or `cuda`.
        scorer: Scores rated images by their numbers.
        watch: Receives the progress.
    """

    def __init__(
        self,
        start: Checkpoint,
        ratings: Ratings,
        split: Split,
        scale: MosScale,
        settings: AdaptSettings,
        seed: int,
        device: str,
        scorer: RatedScorer,
        watch: Watch,
    ) -> None:
        self._start = start
        self._settings = settings
        self._seed = seed
        self._device = device
        self._scorer = scorer
        self._watch = watch
        self._scale = scale
        self._numbers = split.shots.tolist()
        self._mos = ratings.mos[split.shots]
        # Ratings beyond a known range exist, but probabilities do not.
        self._quality = scale.to_quality(self._mos).clip(0, 1)
        self._paths = [ratings.images[i] for i in self._numbers]
        references = ratings.references
        self._groups = None if references is None else [references[i] for i in self._numbers]
        self._frozen: PromptsRun | None = None

    @cached_property
    def network(self) -> GRMPIQA:
        """The start."""
        return GRMPIQA(self._start).to(self._device)

    @cached_property
    def shots(self) -> RatedViews:
        """The shots as views for gradient steps."""
        return RatedViews(
            self._paths,
            self._quality,
            self._start.config.preprocess,
            training_views=self._settings.views,
            seed=self._seed,
        )

    @property
    def epochs_ahead(self) -> int:
        """Passes over the shots in all gradient steps, for an estimate of the time."""
        if self._by_prompts:
            return self._settings.epochs
        if self._tries_gradients:
            # Each of the others leaves one part out.
            return self._settings.epochs * (1 + len(_RATES) * (len(self._parts(0)) - 1))
        return 0

    def adapt(
        self,
        state: Mapping[str, Any] | None,
        save: Save,
        after_epoch: Callable[[PromptsRun], AfterEpoch | None],
    ) -> Outcome:
        """Adapt.

        Args:
            state: What `save` received last, to resume from it.
            save: Stores a state.
            after_epoch: Makes an action after each epoch of the final training.
        """
        if self._settings.method == "ridge":
            head = self._ridge(self.network, self._inputs)
            return self._with_head(
                self._start, self.network, head, "ridge", (), self._interval(head.left_out)
            )
        if self._by_prompts:
            run = self.prompts_run()
            run.train(self._watch, state=state, save=save, after_epoch=after_epoch(run))
            return Outcome(run.trainer.checkpoint(), (), "prompts", None, run)
        return self._choose(state, save)

    def prompts_run(self, rate: float = 1.0, numbers: Sequence[int] | None = None) -> PromptsRun:
        """A training by gradients, not begun.

        Args:
            rate: Learning rate relative to the settings'.
            numbers: Which of the shots to learn from; None: all.
        """
        settings = dataclasses.replace(self._settings, learning_rate=rate * self._settings.learning_rate)
        frozen = None if self._frozen is None else self._frozen.trainer.frozen
        run = PromptsRun(
            without_head(self._start), settings, self.shots, self._seed, self._device, numbers, frozen
        )
        self._frozen = self._frozen or run
        return run

    # Choice

    @property
    def _by_prompts(self) -> bool:
        return self._settings.method == "prompts" or self._settings.protocol == "released"

    @property
    def _chooses(self) -> bool:
        wanted = self._settings.method == "auto" and not self._by_prompts
        return wanted and len(self._numbers) >= LEAST_TO_CHOOSE

    @property
    def _tries_gradients(self) -> bool:
        return self._chooses and len(self._numbers) >= LEAST_FOR_GRADIENTS

    def _choose(self, state: Mapping[str, Any] | None, save: Save) -> Outcome:
        scores = self._scorer.scores(self.network, self._numbers)
        if not self._chooses:
            return Outcome(self._start, (), "start", self._interval(scores), None)
        # Predictions of the first repetition, by what was tried.
        predictions: dict[tuple[str, float | None, int | None], np.ndarray] = {("start", None, None): scores}
        repeated = [
            left_out(self._parts(number), len(scores), self._ridge_without) for number in range(_REPETITIONS)
        ]
        predictions["ridge", None, None] = repeated[0]
        start = [self._within(number, scores) for number in range(_REPETITIONS)]
        ridge = [self._within(number, predicted) for number, predicted in enumerate(repeated)]
        usual, by_ridge = float(np.mean(start)), float(np.mean(ridge))
        divisions = [self._parts(number) for number in range(_REPETITIONS)]
        logits = start_logits(self.network, self._inputs)
        lines = [line_left_out(divided, logits, self._quality) for divided in divisions]
        shares = [explained(divisions, found, self._quality) for found in (lines, repeated)]
        tried = [
            Tried("start", None, None, usual, 0.0, None, _REPETITIONS, shares[0]),
            Tried("ridge", None, None, by_ridge, by_ridge - usual, None, _REPETITIONS, shares[1]),
        ]
        base = best_without_gradients(tried)
        replaced = predictions[base.method, None, None]
        runs = list(state["runs"]) if state is not None else []
        by_gradients = self._by_gradients(runs, save) if self._tries_gradients else {}
        for (method, rate, stop), predicted in by_gradients.items():
            settings = self._settings
            key = (method, rate * settings.learning_rate, self._stop(stop))
            predictions[key] = predicted
            # Cross-validated once: what they gain is counted in the same parts.
            gain = self._within(0, predicted) - self._within(0, replaced)
            error = standard_error(self._parts(0), predicted, replaced, self._quality)
            tried.append(Tried(*key, base.krcc + gain, base.gain + gain, error, 1))
        chosen = best(tried)
        found = predictions[chosen.method, chosen.learning_rate, chosen.epochs]
        return self._final(chosen, tuple(tried), self._interval(found), runs, state, save)

    def _by_gradients(self, runs: list[Any], save: Save) -> dict[tuple[str, float, float], np.ndarray]:
        """Predictions (S,) of the shots by networks that were adapted to the other parts.

        Args:
            runs: What earlier trainings gave, in order, each a list of predictions for each stop; grows.
            save: Stores a state.
        """
        divided = self._parts(0)
        found: dict[tuple[str, float, float], np.ndarray] = {}
        save({"runs": runs, "loop": None, "log": []})
        for number, (rate, part) in enumerate((rate, part) for rate in _RATES for part in divided):
            if number == len(runs):
                runs.append(self._run_without(rate, part))
                save({"runs": runs, "loop": None, "log": []})
            self._watch.progress(
                Progress("choosing by cross-validation", number + 1, len(_RATES) * len(divided))
            )
            for stop, pair in zip(_STOPS, runs[number], strict=True):
                for method, predicted in zip(("prompts", "prompts+ridge"), pair, strict=True):
                    whole = found.setdefault((method, rate, stop), np.empty(len(self._numbers)))
                    whole[part] = predicted
        return found

    def _run_without(self, rate: float, part: np.ndarray) -> list[list[list[float]]]:
        """Train on all parts but one; at each stop, its predictions by the prompts alone and with a head.

        NaN where training cannot go on, as with too large a learning rate: it is then never chosen.
        """
        others = np.setdiff1d(np.arange(len(self._numbers)), part)
        run = self.prompts_run(rate, others.tolist())
        found: list[list[list[float]]] = []

        def predict(epoch: int) -> None:
            network = run.trainer.net
            scores = self._scorer.scores(network, [self._numbers[i] for i in part])
            inputs = self._scorer.head_inputs(network, self._numbers)
            head = self._ridge(network, inputs, others)
            with_head = head.predict(_chosen(inputs, part), inputs.logit.numpy()[part])
            # One stop may stand for several when there are few epochs.
            for stop in _STOPS:
                if self._stop(stop) == epoch:
                    found.append([scores.tolist(), with_head.tolist()])
            network.train()

        stops = sorted({self._stop(stop) for stop in _STOPS})
        try:
            run.train(_Silent(self._watch), after_epoch=AtEpochs(stops, predict))
        except TrainingError:
            nothing = [math.nan] * len(part)
            return [[nothing, nothing] for _ in _STOPS]
        return found

    def _final(
        self,
        chosen: Tried,
        tried: tuple[Tried, ...],
        interval: PredictionInterval | None,
        runs: list[Any],
        state: Mapping[str, Any] | None,
        save: Save,
    ) -> Outcome:
        if chosen.method == "start":
            return Outcome(self._start, tried, "start", interval, None)
        if chosen.method == "ridge":
            head = self._ridge(self.network, self._inputs)
            # Shots left out one by one, as with method ridge: nearer to what all of them give than fifths.
            interval = self._interval(head.left_out)
            return self._with_head(self._start, self.network, head, "ridge", tried, interval)
        assert chosen.learning_rate is not None
        run = self.prompts_run(chosen.learning_rate / self._settings.learning_rate)
        run.train(
            self._watch,
            epochs=chosen.epochs,
            state=state if state is not None and state["loop"] is not None else None,
            save=lambda now: save({"runs": runs, **now}),
        )
        if chosen.method == "prompts":
            return Outcome(run.trainer.checkpoint(), tried, "prompts", interval, run)
        network = run.trainer.net
        head = self._ridge(network, self._scorer.head_inputs(network, self._numbers))
        return self._with_head(
            run.trainer.checkpoint(), network, head, "prompts+ridge", tried, interval, run=run
        )

    # Ridge regression

    @cached_property
    def _inputs(self) -> HeadInputs:
        return self._scorer.head_inputs(self.network, self._numbers)

    def _ridge(self, network: GRMPIQA, inputs: HeadInputs, numbers: np.ndarray | None = None) -> Ridge:
        """A head for a network, fitted to some of the shots."""
        numbers = np.arange(len(self._numbers)) if numbers is None else numbers
        start = start_logits(network, inputs)
        return fit_ridge(network, _chosen(inputs, numbers), start[numbers], self._quality[numbers])

    def _ridge_without(self, others: np.ndarray, part: np.ndarray) -> np.ndarray:
        head = self._ridge(self.network, self._inputs, others)
        return head.predict(_chosen(self._inputs, part), start_logits(self.network, self._inputs)[part])

    def _with_head(
        self,
        checkpoint: Checkpoint,
        network: GRMPIQA,
        head: Ridge,
        chosen: str,
        tried: tuple[Tried, ...],
        interval: PredictionInterval | None,
        run: PromptsRun | None = None,
    ) -> Outcome:
        tensors = {**checkpoint.tensors, **head.tensors(network.head)}
        whole = dataclasses.replace(checkpoint, tensors=tensors)
        return Outcome(whole, tried, chosen, interval, run)

    # Judging

    def _within(self, repetition: int, predicted: np.ndarray) -> float:
        return within_parts(self._parts(repetition), predicted, self._quality)

    def _parts(self, repetition: int) -> list[np.ndarray]:
        return parts(len(self._numbers), self._groups, self._seed * 1_000_003 + repetition)

    def _stop(self, share: float) -> int:
        return max(1, round(share * self._settings.epochs))

    def _interval(self, predicted: np.ndarray) -> PredictionInterval | None:
        return prediction_interval(self._scale.to_mos(predicted) - self._mos)


class _Silent(Watch):
    """Passes on nothing but the wish to stop."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def should_stop(self) -> bool:
        return self._watch.should_stop()


def _chosen(inputs: HeadInputs, numbers: np.ndarray) -> HeadInputs:
    statistics = None if inputs.statistics is None else inputs.statistics[numbers]
    return HeadInputs(inputs.logit[numbers], inputs.features[numbers], statistics)
