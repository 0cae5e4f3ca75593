"""Errors and notes of the library in the words of the command line: which option sets which argument."""

from collections.abc import Sequence

from grmp_plugin.errors import GRMPError
from grmp_plugin.notes import Note

# Argument of the Python API -> option, where it is not the same word with hyphens.
_OPTIONS = {
    "deviation_column": "--std-column",
    "images_folder": "--images",
    "listed": "--list",
    "references": "--ref",
    "strength": "--lambda",
    "strengths": "--lambda",
}
# Arguments of methods, and of what only Python can give, which no option sets.
_WITHOUT_OPTION = frozenset({"path", "folder", "images", "order", "progress"})
# Argument -> what to type, in a sentence.
_REMEDIES = {
    "backbone_weights": "Choose CLIP's weights with --backbone-weights TAG or FILE.",
    "data_root": "Name the folder of the data sets with --data-root.",
    "deviation_column": "Name the column of standard deviations with --std-column.",
    "image_column": "Name the column of the images with --image-column.",
    "images_folder": "Name the folder of the images with --images FOLDER.",
    "include_learned": "Use them anyway with --include-learned.",
    "listed": "To rate near-duplicates as well, list the pictures in a file: --list FILE.",
    "lower_better": "Pass --higher-better or --lower-better.",
    "method": "Adapt in any case with --method ridge or --method prompts.",
    "model": "Name another model with --model.",
    "more": "Add pictures to the session with --more N.",
    "mos_column": "Name the column of the ratings with --mos-column.",
    "mos_range": "Declare the scale with --mos-range LOW HIGH.",
    "out": "Name it with --out.",
    "pristine": "Without a download: drawn scenes (--data drawn) or your own images (--pristine FOLDER).",
    "protocol": "Report the numbers of --protocol own.",
    "raters": "Give the number of people who rated each image with --raters N.",
    "raters_column": "Name the column of the numbers of raters with --raters-column.",
    "raw": "If each row is one person's rating, pass --raw.",
    "reference_column": "Name the column of the references with --reference-column.",
    "references": "Name the reference images with --ref.",
    "resume": "Continue an interrupted run with the same command and --resume.",
    "sampling": "Spread the shots over the MOS range with --sampling spread.",
    "scale": "Predict MOS with --scale mos.",
    "seed": "Draw other shots with another --seed.",
    "shots": "Set the number of shots with --shots.",
    "skip_bad": "Fix these, or pass --skip-bad to leave them out.",
    "split_column": "Name a split column with --split-column.",
    "split_by": "Keep them on one side with --split-by reference.",
    "splits": "Repeat with other shots: --splits 10.",
}


def option(argument: str) -> str:
    """The option that sets an argument of the Python API."""
    return _OPTIONS.get(argument, "--" + argument.replace("_", "-"))


def message(error: GRMPError) -> str:
    """The message of an error, with options to type where arguments are named."""
    named = error.argument is not None and error.argument not in _WITHOUT_OPTION
    text = f"{option(error.argument)}: {error.message}" if named and error.argument else error.message
    return "\n".join([text, *_remedies(error.see)])


def note_text(note: Note) -> str:
    """A note in one line, with options to type where arguments are named."""
    return ". ".join([note.message, *_remedies(note.see)]).removesuffix(".")


def _remedies(arguments: Sequence[str]) -> list[str]:
    return [_REMEDIES.get(name, f"See {option(name)}.") for name in arguments]
