"""Docstrings of installed distributions."""

import ast
import base64
import hashlib
import inspect
import textwrap
from pathlib import Path

import pytest

from reprise.docstrings import (
    dedented,
    docstrings_of,
    json_line,
    licence_of,
    module_name,
    read_shard,
    shards,
    source_files,
)
from reprise.errors import PipelineError

MODULE = '''
"""Module."""
import sys

raise SystemExit("documents are read, never run")

class Greeter:
    """Greets.

    All.
        Indented.
    """

    def greet(self):
        """Say hello."""
        def inner():
            """Inner."""

    if sys.version_info > (3,):
        @property
        def name(self):
            "A name with \\d."

    def silent(self):
        return """no docstring"""

try:
    async def later():
        """Later."""
except ImportError:
    def later():
        """Never."""
'''


def record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site-packages folder that holds the distribution Tiny-Pack with the package tinypack."""
    files = {
        "tinypack/zeta.py": b'"""Zeta."""\n',
        "tinypack/__init__.py": b'"""Tiny."""\n',
        "tinypack/old.py": b'print "this is no Python 3"\n',
        "tinypack/data.txt": b"not code",
    }
    record = "".join(record_line(name, content) for name, content in files.items())
    record += (
        "tinypack/__pycache__/zeta.pyc,,\n../../bin/tiny.py,,\nTiny_Pack-1.5.dist-info/RECORD,,\n"
    )
    files["Tiny_Pack-1.5.dist-info/RECORD"] = record.encode()
    files["Tiny_Pack-1.5.dist-info/METADATA"] = (
        b"Metadata-Version: 2.4\nName: Tiny-Pack\nVersion: 1.5\n"
        b"Classifier: License :: OSI Approved :: BSD License\nLicense: a long text\n"
    )
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_docstrings_are_found_by_parsing_in_source_order() -> None:
    assert list(docstrings_of(MODULE.encode(), "pack.mod")) == [
        ("pack.mod", "Module."),
        ("pack.mod.Greeter", "Greets.\n\nAll.\n    Indented."),
        ("pack.mod.Greeter.greet", "Say hello."),
        ("pack.mod.Greeter.greet.inner", "Inner."),
        ("pack.mod.Greeter.name", "A name with \\d."),
        ("pack.mod.later", "Later."),
        ("pack.mod.later", "Never."),
    ]


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("Sum.", "Sum."),
        ("", ""),
        ("  \n   \n", ""),
        ("Sum.\n\n    Adds up.\n    ", "Sum.\n\nAdds up."),
        ("\n    First.\n      Deeper.\n    Last.\n", "First.\n  Deeper.\nLast."),
        ("Sum.\n\tTabbed.\n\t    Deeper.", "Sum.\nTabbed.\n    Deeper."),
        ("Sum.   \n    \n    End.   ", "Sum.\n\nEnd."),
    ],
)
def test_the_indentation_of_the_code_is_taken_off(docstring: str, text: str) -> None:
    assert dedented(docstring) == text


def test_dedenting_agrees_with_the_standard_library_on_real_docstrings() -> None:
    for module in (textwrap, hashlib, base64):
        source = Path(str(module.__file__)).read_bytes()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                raw = ast.get_docstring(node, clean=False) or ""
                lines = inspect.cleandoc(raw).split("\n")
                assert dedented(raw) == "\n".join(line.rstrip() for line in lines).strip("\n")


def test_a_module_is_named_after_its_file() -> None:
    assert module_name("numpy/linalg/__init__.py") == "numpy.linalg"
    assert module_name("numpy/linalg/_linalg.py") == "numpy.linalg._linalg"
    assert module_name("six.py") == "six"


def test_files_are_taken_by_name_and_from_the_package_alone(site: Path) -> None:
    assert [file.name for file in source_files("tiny-pack")] == [
        "tinypack/__init__.py",
        "tinypack/old.py",
        "tinypack/zeta.py",
    ]


def test_a_file_that_is_no_python_is_named_and_the_others_are_read(site: Path) -> None:
    (files,) = shards("tiny-pack")
    shard = read_shard(files)
    assert shard.documents == [("tinypack", "Tiny."), ("tinypack.zeta", "Zeta.")]
    assert shard.files == 3
    assert shard.unparsed == ["tinypack/old.py"]


def test_a_changed_file_is_refused(site: Path) -> None:
    (site / "tinypack/zeta.py").write_bytes(b'"""Changed."""\n')
    (files,) = shards("tiny-pack")
    expected = record_line("", b'"""Zeta."""\n').split("=")[1].split(",")[0]
    found = record_line("", b'"""Changed."""\n').split("=")[1].split(",")[0]
    with pytest.raises(PipelineError) as caught:
        read_shard(files)
    assert str(caught.value) == (
        f"{site}/tinypack/zeta.py: expected sha256 {expected} (RECORD of tiny-pack), "
        f"found {found}: the file was changed; `pip install --force-reinstall tiny-pack`"
    )


def test_a_missing_file_is_named(site: Path) -> None:
    (site / "tinypack/zeta.py").unlink()
    (files,) = shards("tiny-pack")
    with pytest.raises(PipelineError) as caught:
        read_shard(files)
    assert str(caught.value) == (
        f"{site}/tinypack/zeta.py: cannot be read: No such file or directory; "
        "`pip install --force-reinstall tiny-pack`"
    )


def test_a_distribution_without_record_is_refused(site: Path) -> None:
    (site / "Tiny_Pack-1.5.dist-info/RECORD").unlink()
    with pytest.raises(PipelineError) as caught:
        source_files("tiny-pack")
    assert str(caught.value) == (
        "tiny-pack: no RECORD of its files, so they cannot be verified; "
        "`pip install --force-reinstall tiny-pack`"
    )


def test_a_record_without_hashes_is_refused(site: Path) -> None:
    (site / "Tiny_Pack-1.5.dist-info/RECORD").write_text("tinypack/zeta.py,,\n")
    with pytest.raises(PipelineError) as caught:
        source_files("tiny-pack")
    assert str(caught.value) == (
        "tinypack/zeta.py: no hash in the RECORD of tiny-pack; "
        "`pip install --force-reinstall tiny-pack`"
    )


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(PipelineError) as caught:
        source_files("no-such-package-here")
    assert str(caught.value) == (
        "no-such-package-here: not installed, so its docstrings cannot be read; "
        "`pip install no-such-package-here`"
    )


def test_the_licence_is_told_in_one_line(site: Path) -> None:
    metadata = site / "Tiny_Pack-1.5.dist-info/METADATA"
    assert licence_of("tiny-pack") == "BSD License"
    metadata.write_text("Name: Tiny-Pack\nVersion: 1.5\nLicense-Expression: MIT\n")
    assert licence_of("tiny-pack") == "MIT"
    metadata.write_text("Name: Tiny-Pack\nVersion: 1.5\nLicense: Own\n   words\n")
    assert licence_of("tiny-pack") == "Own"
    metadata.write_text("Name: Tiny-Pack\nVersion: 1.5\n")
    assert licence_of("tiny-pack") == "not stated"


def test_a_line_of_json_keeps_what_a_string_can_hold() -> None:
    assert json_line("a", 'é\n"') == '{"name": "a", "text": "é\\n\\""}\n'.encode()
    assert json_line("a", "\ud800") == b'{"name": "a", "text": "\xed\xa0\x80"}\n'
