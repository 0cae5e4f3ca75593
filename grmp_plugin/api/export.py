"""A model as an ONNX file, for programs without Python or PyTorch."""

import importlib.util
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.files import atomic_write
from grmp_plugin.tables import check_file_path, check_not_input

if TYPE_CHECKING:
    from grmp_plugin.api.models import Model

_SUFFIX = ".onnx"
_MOST_PIXELS = 50_000_000  # the exporter computes with two such images in float32
_PACKAGES = ("onnx", "onnxscript")


def export(
    path: str | os.PathLike[str],
    model: "Model" = "grmp_iqa-tiny",
    *,
    image_size: tuple[int, int] | None = None,
) -> Path:
    """Write a model's scoring network as ONNX, for onnxruntime and others.

    The input is `views` (N, V, 3, S, S), float32 RGB in [0, 1], as `make_views` of
    `grmp_plugin.network.preprocess` cuts them; with `image_size` it is `images` (N, 3, H, W), and they are
    cut inside. The output is `score` (N, 1) from 0 to 1. N is free. The file's metadata name the model, the
    SHA-256 of its weights, and how images are cut.

    Args:
        path: An .onnx file.
        model: A model name, a checkpoint file, or what `adapt` or `pretrain` returned.
        image_size: Height and width of all images, pixels.

    Returns:
        The path.

    Raises:
        InputError: For another extension, a folder that is missing or not writable, or a size without pixels
            or with too many.
        GRMPError: Without the packages of the extra `onnx`, or when the file cannot be written.
        CheckpointError, WeightsUnavailableError: When the model cannot be loaded.
    """
    file = Path(path)
    if file.suffix.lower() != _SUFFIX:
        raise InputError(f"{file}: an ONNX file ends in {_SUFFIX}", argument="path")
    check_file_path(file, "path")
    if isinstance(model, str | os.PathLike):
        check_not_input(file, [model], "path")
    if image_size is not None:
        height, width = image_size
        if min(image_size) < 1:
            raise InputError(f"{height} x {width} has no pixels", argument="image_size")
        if height * width > _MOST_PIXELS:
            raise InputError(
                f"{height} x {width}: at most {_MOST_PIXELS // 1_000_000} megapixels; export without a size, "
                "and cut views from larger images",
                argument="image_size",
            )
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise GRMPError(f"exporting needs {' and '.join(missing)}: pip install 'grmp-iqa[onnx]'")
    from grmp_plugin.api.models import load_model
    from grmp_plugin.network.onnx_export import export_network

    loaded = load_model(model)
    metadata = {
        "model": loaded.name,
        "weights_sha256": loaded.weights_sha256 or "",
        "preprocess": json.dumps(asdict(loaded.network.config.preprocess)),
        "image_size": json.dumps(image_size),
    }
    network = loaded.network.float().cpu().requires_grad_(False)
    try:
        with atomic_write(file) as temporary:
            export_network(network, temporary, metadata, image_size)
    except OSError as error:
        raise GRMPError(f"{file}: {error.strerror or error}") from error
    return file
