"""One command for each stage of the pipeline, run as `python -m stages.NAME`."""
