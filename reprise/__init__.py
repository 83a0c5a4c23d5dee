"""Train language models that can be played again, note for note. README.md has the map."""

import os
import signal

# Of the process that started this one: noted first, for it may be gone before the rest is imported.
# One of several processes of a training may begin after its launcher's end, and is told who it was.
STARTER = int(os.environ.get("REPRISE_STARTER") or os.getppid())
if "REPRISE_STARTER" in os.environ:  # it tells of Ctrl-C, once for all that it has started
    signal.signal(signal.SIGINT, signal.SIG_DFL)
