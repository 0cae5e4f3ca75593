"""`grmp export`: a model as an ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from .output import note

HELP = (
    "Write a model as ONNX: views in, scores out.\n\n"
    "The input `views` (N, V, 3, S, S) is what make_views cuts from an image; with --image-size the input is "
    "`images` (N, 3, H, W), float RGB in [0, 1], all of that size. Takes about a minute, and needs pip "
    "install 'grmp-iqa\\[onnx]'.\n\n"
    "Examples: grmp export model.onnx · grmp export mine.onnx --model mine.safetensors --image-size 768 1024"
)


def export(
    path: Annotated[Path, typer.Argument(help="The .onnx file to write.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Model name ([bold]grmp models[/] lists them) or checkpoint file."
        ),
    ] = "grmp_iqa-tiny",
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            metavar="HEIGHT WIDTH",
            help="Take images of this size as input, and cut the views inside.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the file (see `HELP`)."""
    from grmp_plugin.api.export import export as export_model

    note(f"written to {export_model(path, model, image_size=image_size)}")
