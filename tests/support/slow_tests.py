"""Which tests `make test` leaves out: CI runs the slow ones too, and only `make test-all` the long ones.

Shorter tests of the same files cover the features. Slow tests take five seconds or more; long tests repeat
whole trainings or hundreds of simulations. Two lists instead of marks in the files, so that they can be
compared with `pytest --durations=50` at a glance. File, relative to `tests`, -> its tests, or fixtures of
which all users are meant.
"""

SLOW_TESTS: dict[str, tuple[str, ...]] = {
    # Interrupt a training, and resume it.
    "cli/test_adapt.py": ("interrupted",),
    "cli/test_pretrain.py": ("interrupted",),
    "cli/test_score.py": ("test_interrupt_while_drawing_maps_leaves_whole_maps_and_the_scores",),
    "unit/test_adapt_methods.py": (
        "test_an_interrupted_choice_goes_on_to_the_same",
        "test_gradient_steps_that_fail_are_not_chosen",
    ),
    "unit/test_api_adapt.py": ("test_interrupted_and_resumed_gives_the_same",),
    # Kill jobs of scoring at several moments.
    "cli/test_score_jobs.py": (
        "test_killed_and_resumed_to_the_same_rows",
        "test_shard_killed_and_resumed_to_the_same_rows",
    ),
    "unit/test_metric_workers.py": ("test_same_results_as_in_one_process",),
    "unit/test_score_jobs.py": ("test_any_moment_is_gone_on_with_to_the_same_rows",),
    # Ask for weights in seven ways, of which some wait for an answer.
    "e2e/test_label_browser.py": ("test_two_raters_at_once_and_a_name_that_is_taken",),
    "e2e/test_offline.py": ("asked", "test_comparison_asks_a_silent_hub_once_and_briefly"),
    # Adapt with the installed wheel.
    "e2e/test_adapted_model.py": ("adapted",),
    # Score every kind of distortion on photographs.
    "e2e/test_embedded_model.py": (
        "test_judges_distorted_photographs",
        "test_worse_copies_have_lower_scores",
    ),
    "unit/test_quality_map.py": ("test_degraded_quarters_of_photographs_are_found",),
    # Six tasks with ViT-B/16.
    "golden/test_meta.py": ("in_float32",),
    # Compile for three sizes.
    "unit/test_compile.py": ("test_compiled_once_for_each_size",),
    "unit/test_label_server.py": ("test_a_thousand_votes_of_twenty_raters_at_once",),
}

LONG_TESTS: dict[str, tuple[str, ...]] = {
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
