"""The hashes that stand in dvc.lock, computed anew from the bytes.

DVC itself trusts a file whose size and time are as they were; here every byte is read.
"""

import hashlib
import json
from pathlib import Path

DIRECTORY_MARK = ".dir"


def dvc_md5(path: Path, project: Path) -> str:
    """MD5 of a file, or of a folder as DVC has it: of the list of its files with theirs, without
    those that .dvcignore in `project` names."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    entries = [
        {"md5": dvc_md5(file, project), "relpath": file.relative_to(path.resolve()).as_posix()}
        for file in _files_in(path, project)
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    listed = json.dumps(entries, sort_keys=True).encode()
    return hashlib.md5(listed, usedforsecurity=False).hexdigest() + DIRECTORY_MARK


def _files_in(folder: Path, project: Path) -> list[Path]:
    from dvc.fs import LocalFileSystem
    from dvc.ignore import DvcIgnoreFilter

    files = LocalFileSystem()
    ignore = DvcIgnoreFilter(files, str(project.resolve()))
    return [Path(name) for name in ignore.find(files, str(folder.resolve()))]
