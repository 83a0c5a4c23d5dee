"""Keep dvc.yaml and the code in step."""

import io
from pathlib import Path

from reprise.cli import command, path_option


@command
@path_option("--pipeline", "dvc.yaml", "The pipeline to rewrite.")
def deps(pipeline: Path) -> None:
    """Write the modules that each stage imports, directly or not, into its deps in dvc.yaml."""
    from ruamel.yaml import YAML

    from reprise.files import write_text
    from reprise.source import imported_files
    from reprise.yaml_files import read_yaml

    read_yaml(pipeline, "run from the project's folder or give --pipeline")  # tells what is wrong
    yaml = YAML()  # keeps comments
    yaml.width = 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(pipeline.read_text(encoding="utf-8"))
    for name, stage in content["stages"].items():
        data = [path for path in stage["deps"] if not path.endswith(".py")]
        stage["deps"] = [*data, *imported_files(f"stages.{name}")]
    text = io.StringIO()
    yaml.dump(content, text)
    write_text(pipeline, text.getvalue())
