"""A corpus from the docstrings of installed distributions: read, never imported or executed."""

import ast
import base64
import csv
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from reprise.errors import PipelineError

FILES_PER_SHARD = 32


@dataclass(frozen=True)
class SourceFile:
    package: str  # the distribution's name, as pip knows it
    name: str  # relative to site-packages, with slashes, as RECORD has it
    path: Path
    hash_name: str
    digest: str  # URL-safe base64 without padding, as RECORD has it


@dataclass(frozen=True)
class ShardOfDocstrings:
    documents: list[tuple[str, str]]  # name, text
    files: int  # verified
    unparsed: list[str]  # files that are no Python of this interpreter


def installed(package: str) -> Distribution:
    try:
        return distribution(package)
    except PackageNotFoundError:
        raise PipelineError(
            f"{package}: not installed, so its docstrings cannot be read; `pip install {package}`"
        ) from None


def source_files(package: str) -> list[SourceFile]:
    """The distribution's Python files by name, with the hashes that its RECORD gives.

    RECORD is read here: importlib.metadata's own list leaves missing files out from Python 3.12 on.
    """
    found = installed(package)
    rows = csv.reader((found.read_text("RECORD") or "").splitlines())
    hashes = {row[0]: row[1] for row in rows if _is_source(PurePosixPath(row[0]))}
    if not hashes:
        raise PipelineError(
            f"{package}: no RECORD of its files, so they cannot be verified; {_reinstall(package)}"
        )
    return [_source_file(found, package, name, hashes[name]) for name in sorted(hashes)]


def _is_source(file: PurePosixPath) -> bool:
    return file.suffix == ".py" and ".." not in file.parts


def _source_file(found: Distribution, package: str, name: str, recorded: str) -> SourceFile:
    hash_name, _, digest = recorded.partition("=")
    if not digest:
        raise PipelineError(f"{name}: no hash in the RECORD of {package}; {_reinstall(package)}")
    return SourceFile(package, name, Path(str(found.locate_file(name))), hash_name, digest)


def _reinstall(package: str) -> str:
    return f"`pip install --force-reinstall {package}`"


def shards(package: str) -> Iterator[list[SourceFile]]:
    files = source_files(package)
    for start in range(0, len(files), FILES_PER_SHARD):
        yield files[start : start + FILES_PER_SHARD]


def read_shard(files: list[SourceFile]) -> ShardOfDocstrings:
    """The docstrings of some files, each file verified first."""
    documents: list[tuple[str, str]] = []
    unparsed = []
    for file in files:
        source = verified_bytes(file)
        try:
            documents += docstrings_of(source, module_name(file.name))
        except (SyntaxError, ValueError):
            unparsed.append(file.name)
    return ShardOfDocstrings(documents, len(files), unparsed)


def verified_bytes(file: SourceFile) -> bytes:
    """The file's content, which is what its distribution's author published."""
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise PipelineError(
            f"{file.path}: cannot be read: {error.strerror}; {_reinstall(file.package)}"
        ) from None
    digest = hashlib.new(file.hash_name, content).digest()
    found = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if found != file.digest:
        raise PipelineError(
            f"{file.path}: expected {file.hash_name} {file.digest} (RECORD of {file.package}), "
            f"found {found}: the file was changed; {_reinstall(file.package)}"
        )
    return content


def module_name(name: str) -> str:
    """numpy/linalg/__init__.py -> numpy.linalg"""
    return ".".join(name.removesuffix(".py").removesuffix("/__init__").split("/"))


def docstrings_of(source: bytes, module: str) -> Iterator[tuple[str, str]]:
    """(module.qualname, docstring) for the module, its classes and functions, in source order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the source's own spelling, such as "\d"
        tree = ast.parse(source)
    yield from _docstrings_below(tree, module)


def _docstrings_below(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node, clean=False)
        if docstring is not None and (text := dedented(docstring)):
            yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings_below(child, f"{name}.{child.name}")
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _docstrings_below(child, name)


def dedented(docstring: str) -> str:
    """The docstring without the indentation of the code around it (PEP 257, written here so
    that no version of Python changes a byte).

    "Sum.\\n\\n    Adds up.\\n    " -> "Sum.\\n\\nAdds up."
    """
    first, *rest = docstring.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip(" ")) for line in rest if line.strip(" ")), default=0)
    lines = [first.strip(" "), *(line[margin:].rstrip(" ") for line in rest)]
    return "\n".join(lines).strip("\n")


def licence_of(package: str) -> str:
    """The licence in one line: SPDX expression, else the classifier, else the first line."""
    metadata = installed(package).metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = metadata.get_all("Classifier") or []
    names = [name.rpartition(" :: ")[2] for name in classifiers if name.startswith("License ::")]
    if names:
        return ", ".join(names)
    stated = metadata.get_all("License") or [""]
    return stated[0].strip().split("\n")[0] or "not stated"


def json_line(name: str, text: str) -> bytes:
    return (
        json.dumps({"name": name, "text": text}, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        + b"\n"
    )
