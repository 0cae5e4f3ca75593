"""Which tests `make test`, and so CI, leaves out; `make test-all` runs them.

They repeat whole trainings or hundreds of simulations, and shorter tests of the same file cover the feature.
One list instead of marks in the files, so that it can be compared with `pytest --durations=50` at a glance.
"""

SLOW_TESTS: dict[str, tuple[str, ...]] = {
    # Kill and resume a training ten times; stop between splits; fill a pipe.
    "cli/test_adapt.py": (
        "test_killed_again_and_again_and_resumed_to_the_same_bits",
        "test_interrupt_while_a_message_is_written",
        "between",
    ),
    # Starts a benchmark twice, and stops it between rows.
    "cli/test_benchmark.py": ("test_what_is_interrupted_goes_on",),
    "cli/test_pretrain.py": ("test_killed_again_and_again_and_resumed_to_the_same_bits",),
    # Kill a job of scoring at twenty moments, and one of its shards.
    "cli/test_score_jobs.py": ("test_killed_at_twenty_moments", "test_shard_killed_at_twenty_moments"),
    # Starts Ray, and kills its processes.
    "cli/test_score_on_ray.py": ("sources",),
    # Draws and distorts the demo's 720 images.
    "e2e/test_adapted_model.py": ("test_demo_draws_its_pictures_once_and_learns_from_them",),
    # The paper's adaptations and pre-training on stand-ins of the data sets.
    "e2e/test_named_data.py": ("runs",),
    # Starts processes that import pyiqa.
    "unit/test_metric_workers.py": ("test_a_metric_that_cannot_be_created_costs_only_itself",),
    # Compile the embedded models for ONNX.
    "unit/test_export.py": ("exported", "test_preprocessing_inside"),
    # Trainings by pyiqa's own program.
    "e2e/test_pyiqa_train.py": ("runs",),
    # Coverage of confidence intervals, over hundreds of simulated data sets.
    "unit/test_significance.py": (
        "test_coverage_of_differences",
        "test_equal_metrics_are_seldom_told_apart",
    ),
    "unit/test_logistic.py": ("test_coverage",),
    # The recipe of the embedded models, from photographs to checkpoints.
    "unit/test_embedded_training.py": ("trained",),
}
"""File, relative to `tests`, -> its slow tests, or fixtures whose users are all slow."""
