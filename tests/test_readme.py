"""The README's map is that of the library."""

import re

from project import ROOT


def test_the_map_names_every_module() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    library = text.partition("In the library:")[2].partition("MIT licence.")[0]
    named = set(re.findall(r"`([a-z_]+)/?`", library))
    there = {path.stem for path in (ROOT / "reprise").glob("*.py") if path.stem != "__init__"}
    there |= {path.parent.name for path in (ROOT / "reprise").glob("*/__init__.py")}
    assert sorted(there - named) == []
    known = {path.stem for path in (ROOT / "reprise").rglob("*.py")} | there | {"reprise"}
    assert sorted(named - known) == []
