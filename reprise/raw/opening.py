"""Raw files as streams of bytes: unpacked while they are read, and in UTF-8."""

import codecs
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from reprise.errors import PipelineError
from reprise.files import readable_write_errors
from reprise.formats import packing_of
from reprise.raw.sources import Source
from reprise.unpacking import unpacking

# The longer ones first: that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_REPLACE = "reprise.replace_while_transcoding"


class Utf8Stream:
    """A file's bytes; in UTF-8 if the file is."""

    # Of the unpacked file: what was no text in its encoding and is U+FFFD now.
    invalid_bytes = 0
    first_invalid: int | None = None

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        """About `size` bytes; none at the end of the file alone."""
        return self._file.read(size)


class TranscodedStream(Utf8Stream):
    """A file in another encoding, in UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        super().__init__(file)
        self._decoder = codecs.getincrementaldecoder(encoding)(_REPLACE)
        self._read = 0
        self._decoding_from = 0

    def read(self, size: int) -> bytes:
        codecs.register_error(_REPLACE, self._replace)
        while True:
            piece = self._file.read(size)
            self._decoding_from = self._read - len(self._decoder.getstate()[0])
            self._read += len(piece)
            text = self._decoder.decode(piece, not piece)
            if text or not piece:
                return text.encode("utf-8", "surrogatepass")

    def _replace(self, error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        self.invalid_bytes += error.end - error.start
        if self.first_invalid is None:
            self.first_invalid = self._decoding_from + error.start
        return "\ufffd", error.end


@contextmanager
def opened_text(source: Source) -> Iterator[Utf8Stream]:
    """The file's text as UTF-8; bytes that are none in a file said to be UTF-8 stay as they are.

    PipelineError where the encoding is unknown or the file begins with the mark of another.
    """
    is_utf8 = _known(source) in ("utf-8", "utf-8-sig")
    with _unpacked(source.path) as file:
        if not is_utf8:
            yield TranscodedStream(file, source.encoding)
            return
        beginning = file.peek(4)[:4]
        for mark, encoding in _MARKS.items():
            if beginning.startswith(mark):
                raise PipelineError(
                    f"{source.path}: begins with the mark of {encoding.upper()}, "
                    f"but is said to be {source.encoding}; set download.encoding: {encoding}"
                )
        yield Utf8Stream(file)


def _known(source: Source) -> str:
    """The encoding by the name that Python gives it."""
    try:
        "".encode(source.encoding)  # LookupError for codecs that are not of text, too
        return codecs.lookup(source.encoding).name
    except (LookupError, ValueError):
        raise PipelineError(
            f"{source.path}: unknown encoding {source.encoding!r}; set download.encoding to one "
            "that Python knows, such as utf-8, utf-16, latin-1, cp1252, gb18030 or big5"
        ) from None


@contextmanager
def opened_table(path: Path) -> Iterator[IO[bytes]]:
    """The file, which can be read at any place: a packed one is unpacked to a temporary file."""
    if packing_of(path.name) is None:
        with path.open("rb") as file:
            yield file
        return
    with (
        _unpacked(path) as packed,
        readable_write_errors(Path(tempfile.gettempdir())),
        tempfile.TemporaryFile() as plain,
    ):
        shutil.copyfileobj(packed, plain)
        yield plain


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    with path.open("rb") as packed, unpacking(packed, packing_of(path.name)) as file:
        yield file
