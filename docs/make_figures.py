"""Make the pictures of the README: the loss by tokens, and MLflow's comparison of runs.

in   metrics/train.csv     the newest training
     mlflow.db             or the store at MLFLOW_TRACKING_URI
out  docs/images/loss.png
     docs/images/mlflow.png  needs Chromium
"""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import F_DUPFD, fcntl
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import click

from reprise.cli import command, path_option
from reprise.errors import PipelineError
from reprise.files import replacing

WIDTH, HEIGHT = 1500, 1230  # pixels
SECONDS_TO_START = 90.0
SECONDS_TO_LOAD = 60.0

# MLflow opens its assistant on a first visit.
BEFORE_LOADING = """
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
CHARTS_ARE_DRAWN = """
document.querySelectorAll(".js-plotly-plot .main-svg").length > 0
    && document.querySelectorAll("[aria-busy=true], .ant-spin-spinning").length == 0
"""


@command
@path_option("--log", "metrics/train.csv", "The losses by step.")
@path_option("--images", "docs/images", "Folder of the pictures.")
@click.option("--experiment", default="reprise", show_default=True, help="In MLflow.")
def main(log: Path, images: Path, experiment: str) -> None:
    """Make the pictures of the README."""
    from reprise.tracking.store import runs_page, tracking_uri

    draw_loss(log, images / "loss.png")
    with mlflow_server(tracking_uri()) as address:
        page = runs_page(address, experiment)
        screenshot(f"{page}&compareRunsMode=CHART", images / "mlflow.png")


def draw_loss(log: Path, png_path: Path) -> None:
    """Train and valid loss, in nats a token, over the tokens read."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with log.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=110, layout="constrained")
    for split, style in (("train", "-"), ("valid", "o-")):
        measured = [row for row in rows if row[f"{split}_nats_per_token"]]
        millions = [int(row["tokens"]) / 1e6 for row in measured]
        losses = [float(row[f"{split}_nats_per_token"]) for row in measured]
        axes.plot(millions, losses, style, label=split, markersize=4)
    axes.set(xlabel="million tokens read", ylabel="nats a token")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(png_path) as scratch:
        figure.savefig(scratch, metadata={"Software": None})
    pyplot.close(figure)


@contextmanager
def mlflow_server(store: str) -> Iterator[str]:
    """The address of an MLflow on loopback that shows `store` while the body runs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    arguments = ["--backend-store-uri", store, "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with tempfile.TemporaryFile("w+") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", *arguments],
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_until(
                lambda: server.poll() is not None or _answers(f"{address}/health"),
                SECONDS_TO_START,
                "mlflow ui",
            )
            if server.poll() is not None:
                output.seek(0)
                raise PipelineError("mlflow ui ended at once:", *output.read().splitlines()[-3:])
            yield address
        finally:
            server.terminate()
            server.wait()


def screenshot(url: str, png_path: Path, ready: str = CHARTS_ARE_DRAWN) -> None:
    """A picture of the page once the JavaScript expression `ready` holds, in 256 colours."""
    from PIL import Image

    with Browser() as browser:
        browser.open(url)
        _wait_until(lambda: browser.evaluate(ready), SECONDS_TO_LOAD, url)
        time.sleep(3)  # the last charts' animation
        image = Image.open(BytesIO(browser.picture()))
    with replacing(png_path) as scratch:
        image.convert("RGB").quantize(256).save(scratch, optimize=True)


class Browser:
    """A headless Chromium, told what to do through the pipes of its DevTools protocol.

    https://chromedevtools.github.io/devtools-protocol: JSON, a NUL after each message.
    """

    def __init__(self) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            raise PipelineError("no chromium on the path: install it to take pictures of pages")
        self._profile = tempfile.TemporaryDirectory()
        flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
        flags += ["disable-background-networking", "disable-component-update", "disable-sync"]
        flags += ["hide-scrollbars", "remote-debugging-pipe", f"window-size={WIDTH},{HEIGHT}"]
        # With a mouse, charts show their buttons only under it.
        flags += ["blink-settings=primaryHoverType=2,availableHoverTypes=2"]
        flags += [f"user-data-dir={self._profile.name}"]
        # Chromium reads from descriptor 3 and writes to 4; ours are moved out of their way.
        theirs, ours = zip(_pipe(), reversed(_pipe()), strict=True)
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "bash", program]
            + [f"--{flag}" for flag in flags],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in theirs:
            os.close(descriptor)
        self._write, self._read = os.fdopen(ours[0], "wb"), os.fdopen(ours[1], "rb")
        self._sent = 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._call("Browser.close")
        self._write.close()
        self._read.close()
        self._process.wait()
        self._profile.cleanup()

    def open(self, url: str) -> None:
        self._call("Page.enable", self._session)
        self._call("Page.addScriptToEvaluateOnNewDocument", self._session, source=BEFORE_LOADING)
        self._call("Page.navigate", self._session, url=url)

    def evaluate(self, expression: str) -> Any:
        answer = self._call("Runtime.evaluate", self._session, expression=expression)
        return answer["result"].get("value")

    def picture(self) -> bytes:
        return b64decode(self._call("Page.captureScreenshot", self._session, format="png")["data"])

    def _call(self, method: str, session: dict[str, str] | None = None, **params: Any) -> Any:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params} | (session or {})
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self._next_message()).get("id") != self._sent:
            pass  # an event
        return answer["result"]

    def _next_message(self) -> Any:
        message = bytearray()
        while (byte := self._read.read(1)) != b"\0":
            if not byte:
                raise PipelineError("chromium ended: run it by hand to see why")
            message += byte
        return json.loads(message)


def _pipe() -> tuple[int, int]:
    """Reading and writing end, both above 9, the last descriptor that a shell can name."""
    low = os.pipe()
    high = [fcntl(descriptor, F_DUPFD, 10) for descriptor in low]
    for descriptor in low:
        os.close(descriptor)
    return high[0], high[1]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise PipelineError(f"{what}: not ready after {seconds:.0f} s; try once more")
        time.sleep(0.3)


if __name__ == "__main__":
    main()
