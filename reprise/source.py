"""Which project modules a module imports, directly or not, read from the source, not run.

A stage's result depends on these files: dvc.yaml names them as deps, the run key has their hash.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("reprise", "stages")
ROOT = Path(__file__).resolve().parent.parent


def imported_files(module: str, root: Path = ROOT) -> list[str]:
    """Paths of `module` and all project modules that it needs, relative to `root`, sorted."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path_of(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [name.rsplit(".", level)[0] for level in range(1, name.count(".") + 1)]
        for target in _imports(ast.parse(path.read_text(encoding="utf-8")), package):
            waiting += [target, target.rpartition(".")[0]]
    return sorted(path.relative_to(root).as_posix() for path in found.values())


def code_hash(module: str, root: Path = ROOT) -> str:
    """SHA-256 over the names and bytes of `imported_files`."""
    digest = hashlib.sha256()
    for name in imported_files(module, root):
        digest.update(
            f"{name}\n{hashlib.sha256((root / name).read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def _path_of(name: str, root: Path) -> Path | None:
    if name.partition(".")[0] not in PACKAGES:
        return None
    base = root.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                origin = ".".join([*above, origin]) if origin else ".".join(above)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
