"""Parquet files with images: their bytes, as data sets of Hugging Face hold them, or a column of paths."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grmp_plugin.data.places import Place
from grmp_plugin.data.ratings_columns import IMAGE_NAMES
from grmp_plugin.data.shard_names import NO_IMAGES, ShardNames
from grmp_plugin.data.sources import EncodedImage, ImageSource, UnreadableImage
from grmp_plugin.data.unreadable import unread_reason
from grmp_plugin.errors import ImageError, InputError

TABLE_SUFFIX = ".parquet"
ADDRESS_NAMES = IMAGE_NAMES | {"url", "address", "image_path", "file_path", "key"}
"""Usual names of a column of paths or addresses."""

_BYTES_NAMES = IMAGE_NAMES | {"bytes", "image_bytes", "jpg", "jpeg", "png", "webp", "content"}
_ROWS, _ROWS_OF_TEXT = 16, 4096  # read at a time
# Types by the names that pyarrow gives them; older versions lack some.
_TEXTS = ("string", "large_string", "string_view")
_BYTES = ("binary", "large_binary", "binary_view")
# Of a column in one group of rows: images are compressed already, and do not shrink to a hundredth.
_MOST_UNPACKED, _MOST_SHRUNK = 1 << 30, 100
_COLUMNS_SHOWN = 20


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
        missing = "no column of images or paths" if wanted is None else f"no column '{wanted}' that could be"
        text = f"{place.name}: {missing}; columns: {listed(schema.names)}"
        raise InputError(text, see=("image_column",))
    if schema.names.count(found.name) > 1:
        raise InputError(f"{place.name}: two columns are called '{found.name}'; rename one of them")
    return found


def listed(columns: Sequence[str]) -> str:
    """Names of columns for a message, not all of them if they are many."""
    more = ", ..." if len(columns) > _COLUMNS_SHOWN else ""
    return ", ".join(columns[:_COLUMNS_SHOWN]) + more


def _named(schema: Any, wanted: str) -> TableColumn | None:
    if wanted not in schema.names:
        return None
    kind = _type(schema, wanted)
    return TableColumn(wanted, _is_image(kind)) if _is_image(kind) or _is_text(kind) else None


def _usual(schema: Any) -> TableColumn | None:
    for names, fits in ((_BYTES_NAMES, _is_image), (ADDRESS_NAMES, _is_text)):
        for name in schema.names:
            if name.lower() in names and fits(_type(schema, name)):
                return TableColumn(name, fits is _is_image)
    return None


def _type(schema: Any, name: str) -> Any:
    """Type of the first column of a name."""
    return schema.field(schema.names.index(name)).type


def _is_text(kind: Any) -> bool:
    import pyarrow.types

    # What pandas writes for a categorical column.
    plain = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return str(plain) in _TEXTS


def _is_bytes(kind: Any) -> bool:
    return str(kind) in _BYTES or str(kind).startswith("fixed_size_binary")


def _is_image(kind: Any) -> bool:
    """Bytes, or a record with `bytes` and perhaps `path`, as the library `datasets` stores an image."""
    import pyarrow.types

    if pyarrow.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)


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
            if not names:
                yield UnreadableImage(self.name, NO_IMAGES)
        except Exception as error:  # pyarrow's, and those of a file system's library
            yield UnreadableImage(self.name, _damage(error))


def column_values(place: Place, name: str) -> Iterator[Any]:
    """Yield the values of one column, a few rows in memory at a time."""
    import pyarrow.parquet

    with place.open() as file:
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)
        _check_unpacked(table.metadata, name)
        rows = _ROWS if _is_image(_type(table.schema_arrow, name)) else _ROWS_OF_TEXT
        for batch in table.iter_batches(rows, columns=[name]):
            yield from batch.column(0).to_pylist()


def _check_unpacked(metadata: Any, name: str) -> None:
    """Refuse a small file that would fill the memory."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            size = chunk.total_uncompressed_size
            large = size > _MOST_UNPACKED and size > _MOST_SHRUNK * chunk.total_compressed_size
            if large and chunk.path_in_schema.split(".")[0] == name:
                raise ImageError(f"its column '{name}' would unpack to {size / 1e9:.1f} GB")


def _content(value: Any) -> tuple[str | None, bytes | None]:
    if not isinstance(value, dict):
        return None, value
    path = value.get("path")
    return path if isinstance(path, str) else None, value.get("bytes")


def _damage(error: Exception) -> str:
    words = str(error)
    if "magic bytes" in words or "smaller than the minimum" in words or "footer" in words.lower():
        return "truncated, or not a Parquet file: its end is missing"
    return unread_reason(error)
