"""Parquet files with images: their bytes, as data sets of Hugging Face hold them, or a column of paths."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from grmp_plugin.data.places import Place
from grmp_plugin.data.ratings_columns import IMAGE_NAMES
from grmp_plugin.data.shard_names import ShardNames
from grmp_plugin.data.sources import EncodedImage, ImageSource, UnreadableImage
from grmp_plugin.data.unreadable import unread_reason
from grmp_plugin.errors import ImageError, InputError

TABLE_SUFFIX = ".parquet"
ADDRESS_NAMES = IMAGE_NAMES | {"url", "address", "image_path", "file_path", "key"}
"""Usual names of a column of paths or addresses."""

_BYTES_NAMES = IMAGE_NAMES | {"bytes", "image_bytes", "jpg", "jpeg", "png", "webp", "content"}
_ROWS, _ROWS_OF_TEXT = 16, 4096  # read at a time


@dataclass(frozen=True)
class TableColumn:
    """The column of a table that has the images.

    Attributes:
        name: Its name.
        holds_images: Whether it holds images, and not paths.
    """

    name: str
    holds_images: bool


def column_of(place: Place, wanted: str | None) -> TableColumn:
    """Find the column of the images in a Parquet file.

    Args:
        place: The file.
        wanted: Name of the column; None: found by the usual names, images before paths.

    Raises:
        ImageError: When the file cannot be read.
        InputError: When there is no such column, or none that could hold images.
    """
    import pyarrow.parquet

    try:
        with place.open() as file:
            schema = pyarrow.parquet.read_schema(file)
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except Exception as error:  # pyarrow's, and those of a file system's library
        raise ImageError(_damage(error)) from error
    found = _named(schema, wanted) if wanted is not None else _usual(schema)
    if found is None:
        columns = ", ".join(schema.names)
        missing = "no column of images or paths" if wanted is None else f"no column '{wanted}' that could be"
        text = f"{place.name}: {missing}; columns: {columns}"
        raise InputError(text, see=("image_column",))
    return found


def _named(schema: Any, wanted: str) -> TableColumn | None:
    if wanted not in schema.names:
        return None
    kind = schema.field(wanted).type
    return TableColumn(wanted, _is_image(kind)) if _is_image(kind) or _is_text(kind) else None


def _usual(schema: Any) -> TableColumn | None:
    for names, fits in ((_BYTES_NAMES, _is_image), (ADDRESS_NAMES, _is_text)):
        for name in schema.names:
            if name.lower() in names and fits(schema.field(name).type):
                return TableColumn(name, fits is _is_image)
    return None


def _is_text(kind: Any) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _is_image(kind: Any) -> bool:
    """Bytes, or a record with `bytes` and perhaps `path`, as the library `datasets` stores an image."""
    import pyarrow.types

    if pyarrow.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


@dataclass(frozen=True, slots=True)
class TableUnit:
    """A Parquet file whose rows hold the bytes of images.

    An image is called by the path stored with it, else by its row, counted from 0.
    """

    name: str
    place: Place
    column: TableColumn

    is_shard = True

    def version(self, check: str) -> str:
        """See `Unit`."""
        return self.place.version(check)

    def images(self, done: Callable[[str], bool]) -> Iterator[ImageSource]:
        """See `Unit`."""
        names = ShardNames()
        try:
            for number, value in enumerate(column_values(self.place, self.column.name)):
                path, content = _content(value)
                name = names.unique(*([path] if path else []), str(number))
                if done(name):
                    continue
                if content is None:
                    yield UnreadableImage(name, "no bytes in this row")
                else:
                    yield EncodedImage(name, path or "", content)
        except Exception as error:  # pyarrow's, and those of a file system's library
            yield UnreadableImage(self.name, _damage(error))


def column_values(place: Place, name: str) -> Iterator[Any]:
    """Yield the values of one column, a few rows in memory at a time."""
    import pyarrow.parquet

    with place.open() as file:
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        for batch in table.iter_batches(
            _ROWS if _is_image(table.schema_arrow.field(name).type) else 4096, columns=[name]
        ):
            yield from batch.column(0).to_pylist()


def _content(value: Any) -> tuple[str | None, bytes | None]:
    if isinstance(value, dict):
        return value.get("path"), value.get("bytes")
    return None, value


def _damage(error: Exception) -> str:
    words = str(error)
    if "magic bytes" in words or "smaller than the minimum" in words or "footer" in words.lower():
        return "truncated, or not a Parquet file: its end is missing"
    return unread_reason(error)
