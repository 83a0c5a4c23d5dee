"""The one exception for what a person can fix."""


class PipelineError(Exception):
    """The data, the settings or the machine are wrong in a way a person can mend.

    Each argument is one line for the reader: where, what was found, what is allowed, what to do.
    Commands print the lines to stderr and exit with 1; everything else keeps its traceback.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Interrupted(PipelineError):  # noqa: N818, it is no error
    """Someone asked the work to stop; what was done is saved and the same command goes on."""
