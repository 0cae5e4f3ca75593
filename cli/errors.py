"""How errors of the library read on the command line; only here is known which option sets an argument."""

from grmp_plugin.errors import GRMPError

# Argument of the Python API -> option, where it is not the same word with hyphens.
_OPTIONS = {
    "deviation_column": "--std-column",
    "images_folder": "--images",
    "references": "--ref",
}
# Argument -> what to type, in a sentence.
_REMEDIES = {
    "data_root": "Name the folder of the data sets with --data-root.",
    "device": "Use --device cpu.",
    "images_folder": "Name the folder of the images with --images FOLDER.",
    "lower_better": "Pass --higher-better or --lower-better.",
    "model": "Name another model with --model.",
    "mos_column": "Name the column of the ratings with --mos-column.",
    "mos_range": "Declare the scale with --mos-range LOW HIGH.",
    "pristine": "Without a download: --data drawn, or --pristine FOLDER.",
    "raters": "Give the number of people who rated each image with --raters N.",
    "raw": "If each row is one person's rating, pass --raw.",
    "references": "Name the reference images with --ref.",
    "resume": "Run without --resume.",
    "sampling": "Spread the shots over the ratings with --sampling spread.",
    "seed": "Draw other shots with another --seed.",
    "skip_bad": "Fix these, or pass --skip-bad to leave them out.",
}


def option(argument: str) -> str:
    """The option that sets an argument of the Python API."""
    return _OPTIONS.get(argument, "--" + argument.replace("_", "-"))


def message(error: GRMPError) -> str:
    """The message of an error, with options to type where arguments are named."""
    text = error.message if error.argument is None else f"{option(error.argument)}: {error.message}"
    remedies = [_REMEDIES.get(name, f"See {option(name)}.") for name in error.see]
    return "\n".join([text, *remedies])
