"""Few-shot adaptation from start to end: draw shots, score the test images, adapt, score them again."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from grmp_plugin.data.learned_images import SECTION
from grmp_plugin.data.ratings import BadRow, MosScale, Ratings
from grmp_plugin.data.splits import LEAST_SHOTS, LEAST_TEST, Split, draw_split
from grmp_plugin.errors import InputError
from grmp_plugin.network.checkpoint import Checkpoint
from grmp_plugin.network.grmp_iqa import GRMPIQA
from grmp_plugin.progress import Progress
from grmp_plugin.statistics.correlation import plcc, srcc
from grmp_plugin.training.adapt_model import GRMPAdaptModel
from grmp_plugin.training.adapted import Adapted
from grmp_plugin.training.choice import best
from grmp_plugin.training.estimate import estimate_seconds
from grmp_plugin.training.prompts_run import PromptsRun
from grmp_plugin.training.rated_views import RatedViews
from grmp_plugin.training.released import BestOnTest
from grmp_plugin.training.scorer import RatedScorer
from grmp_plugin.training.settings import AdaptSettings
from grmp_plugin.training.split_run import SplitRun
from grmp_plugin.training.state import SavedState, losses_of
from grmp_plugin.training.trainer import facts_of_start
from grmp_plugin.training.unseen import learned_from, seen_by
from grmp_plugin.training.watch import Watch

_LISTED = 5  # unreadable files that a message names


class FewShot:
    """Adapts a model to ratings, over one or more splits.

    Reads every image at the beginning, so that unreadable ones are found before training, and those that the
    start learned from.

    Args:
        start: The model to adapt.
        ratings: The rated images.
        settings: Settings of the training.
        device: `cpu` or `cuda`.
        watch: Receives the progress.
        skip_bad: Whether to leave out images that cannot be read (`unreadable` lists them).
        split_column: Column of the ratings that decides which images are for training and testing.
        include_learned: Whether to use images that the start learned from, or from other versions of their
            originals; otherwise they are left out.

    Attributes:
        ratings: The ratings that are used.
        images: Their images, which were read.
        unreadable: Images that cannot be read.
        learned: Number of the readable images that the start learned from.

    Raises:
        InputError: When images cannot be read and must not be left out, or when too few are left.
        CheckpointError: When the start's record of the images that it learned from is damaged.
    """

    def __init__(
        self,
        start: Checkpoint,
        ratings: Ratings,
        settings: AdaptSettings,
        *,
        device: str,
        watch: Watch,
        skip_bad: bool = False,
        split_column: str | None = None,
        include_learned: bool = False,
    ) -> None:
        self._start = start
        self._settings = settings
        self._device = device
        self._watch = watch
        self._split_column = split_column
        self.unreadable: tuple[BadRow, ...] = ()
        self.ratings, self.images = self._readable(ratings, skip_bad)
        seen = seen_by(start, self.ratings, self.images)
        self.learned = int(seen.sum())
        self._left_out = 0 if include_learned else self.learned
        if self._left_out:
            unseen = np.flatnonzero(~seen)
            self._check_left(len(unseen))
            self.ratings, self.images = self.ratings.subset(unseen), self.images.subset(unseen.tolist())
        self.copies = 0  # test images that were left out as copies of shots, the most of a split
        self._scorer = RatedScorer(self.images)
        self._scores_of_start: dict[int, float] = {}

    def split(self, seed: int) -> Split:
        """Shots and test images for a seed; raises InputError when there are too few.

        Test images with the pixels of a shot are left out, unless the released code's protocol is followed.
        """
        drawn = self._draw(seed)
        if self._settings.protocol == "released":
            return drawn
        split = drawn.without_copies(self.images.digests)
        self.copies = max(self.copies, len(drawn.test) - len(split.test))
        return split

    def _draw(self, seed: int) -> Split:
        try:
            return draw_split(
                self.ratings,
                self._settings.shots,
                seed,
                sampling=self._settings.sampling,
                test_share=self._settings.test_share,
                column=self._split_column,
                split_by=self._settings.split_by,
            )
        except InputError as error:
            if error.argument is not None or not self._left_out:
                raise
            raise InputError(
                f"{error.message}. {self._about_left_out()}", see=(*error.see, "include_learned")
            ) from error

    def splits(
        self, seed: int, count: int, *, saved: SavedState | None = None, resume: bool = False
    ) -> Iterator[tuple[Adapted, Checkpoint | None]]:
        """Adapt on one split after another, with the seeds `seed`, `seed` + 1, ...

        Args:
            seed: Seed of the first split and its training.
            count: Number of splits.
            saved: Stores the state; None: it is not stored.
            resume: Whether to resume from the saved state.

        Yields:
            The outcome of each split and the adapted network; None in its place for splits that were complete
            when the state was saved.

        Raises:
            InputError: When there are too few ratings.
            TrainingInterrupted: When the watch asked to stop.
            TrainingError: When training cannot continue.
        """
        for number in range(count):
            self.split(seed + number)  # finds out about too few ratings before any work is done
        state = saved.load() if saved is not None and resume else {"finished": [], "training": None}
        complete = self._finished(state, saved)
        finished = list(state["finished"])
        for adapted in complete:
            yield adapted, None
        training = state["training"]
        for number in range(len(finished), count):

            def save(now: dict[str, Any] | None) -> None:
                if saved is not None:
                    saved.save({"finished": finished, "training": now})

            if count > 1:
                self._watch.split(number + 1, count, seed + number)
            adapted, checkpoint = self._adapt(seed + number, count - number, training, save)
            training = None
            # The split counts as finished only once the caller has stored the checkpoint.
            yield adapted, checkpoint
            finished.append(adapted.as_plain())
            save(None)

    def _finished(self, state: Mapping[str, Any], saved: SavedState | None) -> list[Adapted]:
        """The complete splits of a saved state, of which all parts are checked."""
        try:
            finished = [Adapted.from_plain(plain) for plain in state["finished"]]
            for adapted in finished:
                self.ratings.mos[np.concatenate([adapted.split.shots, adapted.split.test])]
            if state["training"] is not None:
                losses_of(state["training"])
                loop = state["training"]["loop"]
                if loop is None:
                    state["training"]["runs"]
                else:
                    loop["trainer"]
        # A state of another form, which only a program can have made.
        except Exception as error:
            if saved is None:
                raise
            raise saved.unusable() from error
        return finished

    def _adapt(
        self,
        seed: int,
        splits_left: int,
        state: dict[str, Any] | None,
        save: Callable[[dict[str, Any]], None],
    ) -> tuple[Adapted, Checkpoint]:
        split, settings = self.split(seed), self._settings
        scale = self._scale(split)
        run = SplitRun(
            self._start,
            self.ratings,
            split,
            scale,
            settings,
            seed,
            self._device,
            self._scorer,
            self._watch,
        )
        if run.epochs_ahead:
            scored = [*split.test.tolist(), *split.shots.tolist()]
            trainer = run.prompts_run().trainer
            seconds = estimate_seconds(
                trainer,
                run.shots,
                self._scorer,
                scored,
                run.epochs_ahead,
                settings.batch_size,
                splits_left,
            )
            self._watch.estimate(seconds, self._device)
        before = self._before(run.network, split)
        choose: BestOnTest | None = None

        def after_epoch(training: PromptsRun) -> BestOnTest | None:
            nonlocal choose
            choose = self._choose(training.trainer, split, scale)
            return choose

        outcome = run.adapt(state, save, after_epoch)
        training, checkpoint = outcome.run, outcome.checkpoint
        if choose is not None and training is not None:
            choose.restore(training.trainer)
            checkpoint = training.trainer.checkpoint()
        network = run.network if outcome.chosen == "start" else GRMPIQA(checkpoint).to(self._device)
        log = [] if training is None else training.log
        adapted = Adapted(
            seed=seed,
            scale=scale,
            split=split,
            before=before[: len(split.test)],
            after=self._predict(network, split.test, "after"),
            shots_before=before[len(split.test) :],
            shots_after=self._scorer.scores(network, split.shots.tolist()),
            angle=math.nan if training is None else training.mean("angle"),
            projected=math.nan if training is None else training.mean("projected"),
            skipped=sum("skipped" in losses for losses in log),
            not_finite=int(sum(losses.get("not_finite", 0) for losses in log)),
            moved=0.0 if training is None else training.trainer.moved(),
            best_epoch=None if choose is None else choose.best_epoch,
            method=outcome.chosen,
            tried=outcome.tried,
            interval=outcome.interval,
        )
        info = {**facts_of_start(self._start), **self._info(adapted)}
        return adapted, dataclasses.replace(checkpoint, info=info)

    def _readable(self, ratings: Ratings, skip_bad: bool) -> tuple[Ratings, RatedViews]:
        """The ratings whose images can be read, and their views for scoring."""
        preprocess = self._start.config.preprocess
        images = RatedViews(ratings.images, np.zeros(len(ratings.images)), preprocess)
        bad: list[int] = []
        for number, reason in images.problems():
            self._watch.progress(Progress("reading images", number + 1, len(images)))
            if reason is not None:
                bad.append(number)
                self.unreadable += (BadRow(None, images.paths[number], reason),)
        if not bad:
            return ratings, images
        if not skip_bad:
            listed = "\n".join(f"  {row.image}: {row.reason}" for row in self.unreadable[:_LISTED])
            raise InputError(
                f"{ratings.source}: {len(bad)} of {len(images)} rated images cannot be read:\n{listed}",
                see=("skip_bad",),
            )
        kept = np.setdiff1d(np.arange(len(images)), bad)
        return ratings.subset(kept), images.subset(kept.tolist())

    def _check_left(self, left: int) -> None:
        if left < LEAST_SHOTS + LEAST_TEST:
            raise InputError(
                f"{self.ratings.source}: {left} rated images are left, too few for shots and test. "
                f"{self._about_left_out()}",
                see=("include_learned",),
            )

    def _about_left_out(self) -> str:
        return (
            f"{self._left_out} rated images are left out, as {self._start.source} learned from them or from "
            "other versions of their originals"
        )

    def _scale(self, split: Split) -> MosScale:
        ratings = self.ratings
        if self._settings.protocol == "released":  # always uses the range of the shots
            ratings = dataclasses.replace(ratings, mos_range=None)
        return ratings.scale(split.shots)

    def _before(self, network: GRMPIQA, split: Split) -> np.ndarray:
        """Scores of test images and shots by the start, computed once over all splits."""
        wanted = [*split.test.tolist(), *split.shots.tolist()]
        unknown = [i for i in wanted if i not in self._scores_of_start]
        scores = self._predict(network, np.array(unknown, int), "before")
        self._scores_of_start.update(zip(unknown, scores.tolist(), strict=True))
        return np.array([self._scores_of_start[i] for i in wanted])

    def _predict(self, network: GRMPIQA, indices: np.ndarray, when: str) -> np.ndarray:
        total = len(indices)
        return self._scorer.scores(
            network,
            indices.tolist(),
            lambda done: self._watch.progress(Progress(f"scoring {when} training", done, total)),
        )

    def _choose(self, trainer: GRMPAdaptModel, split: Split, scale: MosScale) -> BestOnTest | None:
        if self._settings.protocol != "released":
            return None
        quality = scale.to_quality(self.ratings.mos[split.test])

        def plcc_and_srcc() -> float:
            scores = self._scorer.scores(trainer.net, split.test.tolist())
            return plcc(scores, quality) + srcc(scores, quality)

        return BestOnTest(trainer, plcc_and_srcc)

    def _info(self, adapted: Adapted) -> dict[str, Any]:
        settings = self._settings
        return {
            "stage": "adapted to ratings",
            "start": self._start.source,
            "data": self.ratings.source,
            "shots": len(adapted.split.shots),
            "seed": adapted.seed,
            "protocol": settings.protocol,
            "method": adapted.method,
            "tried": [dataclasses.asdict(each) for each in adapted.tried],
            **self._gradient_info(adapted),
            "interval": None if adapted.interval is None else dataclasses.asdict(adapted.interval),
            "best_epoch": adapted.best_epoch,
            "mos_scale": dataclasses.asdict(adapted.scale),
            SECTION: learned_from(
                self._start,
                self.ratings,
                self.images,
                shots=adapted.split.shots,
                selected_on=None if adapted.best_epoch is None else adapted.split.test,
            ),
        }

    def _gradient_info(self, adapted: Adapted) -> dict[str, Any]:
        """Settings of the gradient steps, if there were any."""
        if not adapted.method.startswith("prompts"):
            return {}
        settings, chosen = self._settings, best(adapted.tried) if adapted.tried else None
        return {
            "epochs": settings.epochs if chosen is None else chosen.epochs,
            "learning_rate": settings.learning_rate if chosen is None else chosen.learning_rate,
            "strength": settings.strength,
            "kept_views": settings.kept_views,
            "precision": settings.precision,
        }
