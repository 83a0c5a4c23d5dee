"""The import graph, read from the source."""

from pathlib import Path

from reprise.source import code_hash, imported_files


def project(root: Path) -> Path:
    files = {
        "reprise/__init__.py": "",
        "reprise/a.py": "import os\nfrom reprise.deep import b\n",
        "reprise/deep/__init__.py": "",
        "reprise/deep/b.py": "def f():\n    from ..c import g\n",
        "reprise/c.py": "g = 1\n",
        "reprise/unused.py": "",
        "stages/__init__.py": "",
        "stages/one.py": "def main():\n    import reprise.a\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_imports_inside_functions_and_relative_ones_are_followed(tmp_path: Path) -> None:
    assert imported_files("stages.one", project(tmp_path)) == [
        "reprise/__init__.py",
        "reprise/a.py",
        "reprise/c.py",
        "reprise/deep/__init__.py",
        "reprise/deep/b.py",
        "stages/__init__.py",
        "stages/one.py",
    ]


def test_the_hash_changes_with_the_modules_used_and_with_no_other(tmp_path: Path) -> None:
    root = project(tmp_path)
    before = code_hash("stages.one", root)
    (root / "reprise/unused.py").write_text("x = 1\n")
    assert code_hash("stages.one", root) == before
    (root / "reprise/c.py").write_text("g = 2\n")
    assert code_hash("stages.one", root) != before
