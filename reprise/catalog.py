"""data/catalog.yaml: the corpora that can be named, and what is known of each.

kind: docstrings   what installed packages document
kind: files        published files: where they are, their bytes and sha256, how they are read

A file's `path` is its name here and, below a source, there too, unless `published_as` tells
another; a mirror has the files of a corpus in a folder of its name, unless `mirrored_as` tells
another. What an entry says on reading (format, document, text_field, encoding) holds for all its
files; a file, a member of an archive, and a piece of a file may say otherwise.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from reprise.errors import PipelineError
from reprise.formats import format_of, is_archive, is_text_encoding, packing_of
from reprise.yaml_files import read_yaml

Format: TypeAlias = Literal["text", "jsonl", "json", "csv", "parquet", "html"]
Document: TypeAlias = Literal["file", "paragraph", "line", "article"]
Split: TypeAlias = Literal["train", "valid", "test"]
FORMATS_WITH_FIELDS = ("jsonl", "json", "csv", "parquet")


def path_fault(path: str) -> str | None:
    """Why a file must not be written below a folder under this name; None where it may."""
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is absolute"
    if "\\" in path:
        return "holds a backslash"
    parts = path.split("/")
    if ".." in parts:
        return "leads out of its folder"
    if "" in parts or "." in parts:
        return "holds an empty part or a single dot"
    if any(ord(character) < 32 for character in path):
        return "holds a control character"
    if any("\ud800" <= character <= "\udfff" for character in path):
        return "is not UTF-8"
    if max(len(part.encode()) for part in parts) > LONGEST_NAME:
        return f"has a name of more than {LONGEST_NAME} bytes"
    return None


LONGEST_NAME = 200  # bytes; file systems allow 255, and scratch files have longer names


def _relative(path: str) -> str:
    if fault := path_fault(path):
        raise ValueError(f"{fault}; expected a relative path such as en/train.txt")
    return path


def _known_encoding(name: str) -> str:
    if not is_text_encoding(name):
        raise ValueError("expected an encoding that Python knows, such as utf-8 or gb18030")
    return name


Text = Annotated[str, Field(min_length=1, description="a text")]
RelativePath = Annotated[
    str, Field(min_length=1, description="a relative path"), AfterValidator(_relative)
]
Addresses = Annotated[
    tuple[Text, ...],
    Field(strict=False, min_length=1, description="a list of addresses of folders"),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Reading(_Strict):
    """How the text of a file is read; what is not said is said by the entry."""

    format: Format | None = Field(None, description=f"one of {', '.join(get_args(Format))}")
    document: Document | None = Field(None, description=f"one of {', '.join(get_args(Document))}")
    text_field: Text | None = Field(None, description="the name of a field or column")
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = Field(
        None, description="a character encoding"
    )


class Member(Reading):
    """A file in an archive."""

    path: RelativePath
    split: Split | None = Field(None, description=f"one of {', '.join(get_args(Split))}")


class Piece(Member):
    """A run of a file's bytes that is used as a file; pieces may overlap, and leave bytes out."""

    first_byte: int = Field(ge=0, description="a whole number of bytes before the piece")
    bytes: int = Field(ge=1, description="a whole number of bytes, from 1")


class PublishedFile(Member):
    """A file as it lies below a source.

    An archive is unpacked, into `members` or all it holds; any other file is cut into `pieces`,
    where it has them.
    """

    bytes: int = Field(ge=0, description="a whole number of bytes")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 lower-case hex digits")
    published_as: RelativePath | None = Field(None, description="a relative path")
    sources: Addresses | None = Field(None, description="a list of addresses of folders")
    members: tuple[Member, ...] | None = Field(
        None, strict=False, min_length=1, description="a list of the files to use, each with a path"
    )
    pieces: tuple[Piece, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        description="a list of pieces, each with path, first_byte and bytes",
    )

    @property
    def published_path(self) -> str:
        return self.published_as or self.path


class _Described(_Strict):
    title: Text
    language: Text
    licence: Text
    homepage: Text


class DocstringsEntry(_Described):
    kind: Literal["docstrings"]
    packages: tuple[Text, ...] = Field(
        strict=False, min_length=1, description="a list of names of installed packages"
    )


class FilesEntry(_Described, Reading):
    kind: Literal["files"]
    sources: Addresses | None = Field(None, description="a list of addresses of folders")
    mirrored_as: RelativePath | None = Field(None, description="a relative path")
    files: tuple[PublishedFile, ...] = Field(
        strict=False, min_length=1, description="a list of files with path, bytes and sha256"
    )

    def sources_of(self, file: PublishedFile) -> tuple[str, ...]:
        return file.sources or self.sources or ()

    def reading(self, file: PublishedFile, member: Member | None = None) -> dict[str, str]:
        """How a file's text is read, by the names that a manifest has for it.

        PipelineError where something that the format needs is said nowhere.
        """
        levels: list[Reading] = [file, self] if member is None else [member, file, self]
        name = (member or file).path

        def said(what: str) -> str | None:
            return next((value for level in levels if (value := getattr(level, what))), None)

        def needed(what: str, default: str | None, remedy: str) -> str:
            value = said(what) or default
            if value is None:
                raise PipelineError(f"{what}: missing; {remedy}")
            return value

        remedy = f"the ending of {name!r} tells none; say one of {', '.join(get_args(Format))}"
        found = {"format": needed("format", format_of(name), remedy)}
        if found["format"] == "text":
            remedy = f"say what is a document in {name!r}: one of {', '.join(get_args(Document))}"
            found["document"] = needed("document", None, remedy)
        if found["format"] in FORMATS_WITH_FIELDS:
            remedy = f"name the field with the text of {name!r}"
            found["text_field"] = needed("text_field", None, remedy)
        if found["format"] != "parquet":
            found["encoding"] = said("encoding") or "utf-8"
        return found

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        if broken := [*self._broken_rules(), *_clashes("files", self.files)]:
            raise ValueError("\n".join(broken))
        return self

    def _broken_rules(self) -> Iterator[str]:
        for number, file in enumerate(self.files):
            place = f"files.{number}"
            if not self.sources_of(file):
                yield f"{place}.sources: missing, for the entry has none either"
            if is_archive(file.path):
                if file.format:
                    yield f"{place}.format: an archive has none; say it of its members"
                for index, member in enumerate(file.members or ()):
                    yield from self._unreadable(f"{place}.members.{index}", file, member)
                yield from _clashes(f"{place}.members", file.members or ())
                if file.pieces:
                    yield f"{place}.pieces: {file.path!r} is an archive; name its members"
            else:
                if file.members:
                    yield f"{place}.members: {file.path!r} is no archive"
                if file.pieces:
                    yield from self._broken_rules_of_pieces(f"{place}.pieces", file, file.pieces)
                else:
                    yield from self._unreadable(place, file)

    def _broken_rules_of_pieces(
        self, place: str, file: PublishedFile, pieces: tuple[Piece, ...]
    ) -> Iterator[str]:
        if packing_of(file.path):
            yield f"{place}: {file.path!r} is packed; only a file that is not can be cut"
        for index, piece in enumerate(pieces):
            if (end := piece.first_byte + piece.bytes) > file.bytes:
                yield (
                    f"{place}.{index}: {piece.path!r} ends at byte {end:,}; {file.path!r} has "
                    f"{file.bytes:,} bytes"
                )
            yield from self._unreadable(f"{place}.{index}", file, piece)
        yield from _clashes(place, pieces)

    def _unreadable(
        self, place: str, file: PublishedFile, member: Member | None = None
    ) -> Iterator[str]:
        try:
            self.reading(file, member)
        except PipelineError as error:
            yield f"{place}.{error}"


Entry: TypeAlias = DocstringsEntry | FilesEntry
KINDS: dict[str, type[Entry]] = {"docstrings": DocstringsEntry, "files": FilesEntry}


def _clashes(place: str, files: tuple[Member, ...]) -> Iterator[str]:
    """A line for each path that stands there twice, or as a file and as a folder."""
    paths = Counter(file.path for file in files)
    folders = {str(folder) for path in paths for folder in Path(path).parents}
    for path, times in paths.items():
        if times > 1:
            yield f"{place}: path {path!r} stands there {times} times; allowed: once"
        if path in folders:
            yield f"{place}: path {path!r} is a file and a folder"


def is_named(path: Path, corpus: str) -> bool:
    """The catalogue has an entry of that name. It wins over a folder; "./name" is the folder."""
    return corpus in read_catalog(path)


def find_entry(path: Path, corpus: str) -> Entry:
    """The catalogue's entry of that name; PipelineError where there is none or it is not sound."""
    entries = read_catalog(path)
    if corpus not in entries:
        raise PipelineError(
            f"download.corpus: {corpus!r} is neither a file or folder nor a name in {path}; "
            f"names there: {', '.join(entries)}{_nearest(corpus, entries)}"
        )
    return checked_entry(f"{path}: {corpus}", entries[corpus])


def read_catalog(path: Path) -> dict[str, Any]:
    """Entries, unchecked, by name; YAML reads some words as other things than text (2024, true)."""
    entries = read_yaml(path, "give the catalogue of corpora with --catalog")
    return {str(name): entry for name, entry in entries.items()}


def checked_entry(where: str, entry: Any) -> Entry:
    """The entry, if it is sound; PipelineError with a line for each fault, which begins `where`."""
    if not isinstance(entry, dict):
        found = "nothing" if entry is None else repr(entry)
        raise PipelineError(f"{where}: found {found}; expected a mapping with kind, title and more")
    kind = entry.get("kind")
    faults = []
    if not isinstance(kind, str) or kind not in KINDS:
        told = f"found {kind!r}" if "kind" in entry else "missing"
        kinds = ", ".join(KINDS)
        faults.append(f"{where}.kind: {told}; allowed: {kinds}{_nearest(str(kind), KINDS)}")
        kind = next(iter(difflib.get_close_matches(str(kind), KINDS, n=1)), None)
        if kind is None:
            raise PipelineError(*faults)
    model = KINDS[kind]
    try:
        sound = model.model_validate({**entry, "kind": kind})
    except ValidationError as error:
        lines = [line for fault in error.errors() for line in _fault_lines(where, model, fault)]
        faults += dict.fromkeys(lines)
    if faults:
        raise PipelineError(*faults)
    return sound


def _fault_lines(where: str, model: type[BaseModel], fault: Any) -> list[str]:
    kind, message, found = fault["type"], fault["msg"], fault["input"]
    if kind == "value_error" and not fault["loc"]:  # rules between settings, written by us
        rules = message.removeprefix("Value error, ").splitlines()
        return [f"{where}.{rule}" for rule in rules]
    if kind == "too_short" and found:  # each of its items has a line
        return []
    description = None
    owner: type[BaseModel] | None = model
    for place, part in enumerate(fault["loc"]):
        if isinstance(part, int) and kind != "invalid_key":
            continue
        if owner is None or part not in owner.model_fields:
            dotted = ".".join(map(str, (where, *fault["loc"][: place + 1])))
            names = list(owner.model_fields) if owner else []
            return [
                f"{dotted}: no such key; allowed: {', '.join(names)}{_nearest(str(part), names)}"
            ]
        field = owner.model_fields[part]
        description = field.description
        owner = _model_in(field.annotation)
    dotted = ".".join(map(str, (where, *fault["loc"])))
    if kind == "missing":
        return [f"{dotted}: missing; expected {description or 'a value'}"]
    found = "nothing" if found is None else repr(found)
    if kind == "value_error":
        return [f"{dotted}: {found} {message.removeprefix('Value error, ')}"]
    nearest = ""
    if kind == "literal_error":
        nearest = _nearest(str(fault["input"]), re.findall(r"\w+", fault["ctx"]["expected"]))
    return [f"{dotted}: found {found}; expected {description or 'a value'}{nearest}"]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The schema of a list's items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
