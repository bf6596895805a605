"""Tables of Parquet and Arrow, batch by batch, through pyarrow."""

from typing import Any, Iterator

from albert.system.errors import UsageError
from albert.system.files.compression import DAMAGED, head_of
from preprocess.sources import values
from preprocess.sources.parts import on_disk

_ROWS = 256  # that are held at a time
_BUFFER = 1 << 20
_PARQUET, _ARROW_FILE = b"PAR1", b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"  # as saved datasets of Hugging Face have it


def kind_of_table(head: bytes) -> str:
    """The kind of table that begins like this; "" if it is none."""
    if head.startswith(_PARQUET):
        return "parquet"
    return "arrow" if head.startswith((_ARROW_FILE, _ARROW_STREAM)) else ""


def rows(stream: Any, name: str, kind: str, field: str) -> Iterator[values.Leaf]:
    """The strings in a table; of columns only those that can have the field.

    Args:
      stream: Its bytes.
      name: For messages.
      kind: "parquet" or "arrow".
      field: Path of the text; "" for all columns.

    Raises:
      UsageError: pyarrow is not installed, or the table is damaged.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError(
            "{} is a table of {}, which is read by pyarrow: pip install "
            "'albert-pretraining[tables]'.".format(name, kind.capitalize())
        ) from error
    try:
        for batch in _batches(stream, kind, field):
            for begin in range(0, batch.num_rows, _ROWS):
                for row in batch.slice(begin, _ROWS).to_pylist():
                    yield from values.leaves(row)
    except (pyarrow.ArrowException,) + DAMAGED as error:
        raise UsageError("{} is damaged or cut off ({}).".format(name, error)) from error


def _batches(stream: Any, kind: str, field: str) -> Iterator[Any]:
    if kind == "parquet":
        from pyarrow import parquet

        # With a buffer, a group of rows is not read at once; asked for in one go, groups stay in
        # memory when they have been read.
        file = parquet.ParquetFile(on_disk(stream), buffer_size=_BUFFER)
        columns = _columns(file.schema_arrow, field)
        for group in range(file.num_row_groups):
            yield from file.iter_batches(_ROWS, [group], columns, use_threads=False)
        return
    from pyarrow import ipc

    if head_of(stream).startswith(_ARROW_FILE):
        file = ipc.open_file(on_disk(stream))
        for number in range(file.num_record_batches):
            yield file.get_batch(number).select(_columns(file.schema, field))
    else:
        with ipc.open_stream(stream) as batches:
            for batch in batches:
                yield batch.select(_columns(batches.schema, field))


def _columns(schema: Any, field: str) -> Any:
    """Names of the columns that can hold the field, or any text."""
    from pyarrow import types

    def holds_text(kind: Any) -> bool:
        return types.is_nested(kind) or types.is_dictionary(kind) or "string" in str(kind)

    names = [column.name for column in schema if holds_text(column.type)]
    fitting = [name for name in names if field == name or field.startswith(name + ".")]
    if field and not fitting:
        raise UsageError(
            "No text at --text_field={}; columns with text: {}.".format(
                field, ", ".join(names) or "none"
            )
        )
    return fitting or names
