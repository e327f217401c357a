"""TensorBoard in a real browser, on the folder of a real run: the curves, the pictures and the table are to be seen.

``SCREENSHOT=PATH`` saves a picture of it; the README's is ``docs/tensorboard.png``.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from warm import Warm

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SCREENSHOT = os.environ.get("SCREENSHOT")
ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# --disable-3d-apis makes TensorBoard draw its curves as SVG, which can be read; the others keep the browser to itself.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-3d-apis",
]
EPOCHS = 30
WAIT = 30_000
"""Milliseconds that the page may take to show something."""
TAGS = (
    "epoch/train/loss",
    "epoch/val/accuracy",
    "epoch/val/loss",
    "train/gradient_norm",
    "train/learning_rate",
    "train/loss",
    "train/samples_per_second",
)
VIEW = {"width": 1280, "height": 900}
CURVE = '.series-view path[style*="opacity: 1"]'

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; on Debian: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def run_dir(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run of the ``mlp`` recipe."""
    folder = tmp_path_factory.mktemp("runs") / "mlp"
    line = ("recipe=mlp", f"run_dir={folder}", f"trainer.max_epochs={EPOCHS}", "trainer.log_every_n_steps=10")
    done = warm.run(*line, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a TensorBoard that shows the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("tensorboard") / "log.txt"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run_dir.parent), "--port", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/data/plugin/scalars/tags", b"train/loss", log)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def wait_for(url: str, content: bytes, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if content in answer.read():
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.2)
    pytest.fail(f"TensorBoard shows nothing after a minute: {log.read_text()}")


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """An empty page of a browser."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=60_000)
        try:
            page = browser.new_page(viewport=VIEW, device_scale_factor=1)
            page.set_default_timeout(WAIT)
            yield page
        finally:
            browser.close()


def show(page: Any, address: str, tab: str, **parameters: str) -> None:
    """Open a tab afresh; a change of the part after # alone would load nothing."""
    page.goto("about:blank")
    query = "&".join(f"{key}={value}" for key, value in parameters.items())
    page.goto(f"{address}/?{query}#{tab}")


def points_of(run_dir: Path) -> dict[str, int]:
    """Return how many points the run logged, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"]}


@pytest.fixture(scope="module")
def curves(page: Any, address: str) -> list[tuple[str, str]]:
    """The title and the path of each curve of the tags, of as many as the page shows in time."""
    page.set_viewport_size({"width": 1280, "height": 3000})  # it draws what is in view
    show(page, address, "timeseries", tagFilter=f"^({'|'.join(TAGS)})$", smoothing="0")
    drawn = f"count => document.querySelectorAll(`scalar-card {CURVE}`).length >= count"
    with suppress(playwright.TimeoutError):
        page.wait_for_function(drawn, arg=len(TAGS))
    found = []
    for card in page.locator("scalar-card").all():
        title = card.locator("[title]").first.get_attribute("title")
        paths = card.locator(CURVE).evaluate_all("paths => paths.map(path => path.getAttribute('d'))")
        found += [(title, path) for path in paths]
    page.set_viewport_size(VIEW)
    return found


@pytest.mark.parametrize("tag", TAGS)
def test_each_point_is_on_its_curve(curves: list[tuple[str, str]], run_dir: Path, tag: str) -> None:
    points = points_of(run_dir)[tag]
    assert points == EPOCHS if tag.startswith("epoch/") else points > EPOCHS
    own = [path for title, path in curves if title == tag]
    assert len(own) == 1, "one run, one curve"
    assert len(re.findall("L", own[0])) == points - 1


def test_the_pictures_of_the_predictions_are_shown(page: Any, address: str) -> None:
    show(page, address, "images")
    for tag in ("val/confusion_matrix", "val/worst_predictions"):
        page.wait_for_selector(f"text=tag: {tag}")
    pictures = page.locator("tf-image-loader img")
    for number in range(2):
        pictures.nth(number).wait_for()
        pictures.nth(number).evaluate("img => img.decode()")
    widths = pictures.evaluate_all("imgs => imgs.map(img => img.naturalWidth)")
    assert len(widths) == 2
    assert min(widths) > 300


def test_the_hyperparameters_have_the_final_metrics(page: Any, address: str, run_dir: Path) -> None:
    show(page, address, "hparams")
    page.locator("tf-hparams-table-view .table-cell", has_text="mlp/tensorboard").wait_for()
    assert "optimizer.lr" in [name.strip() for name in page.locator(".hparam-checkbox").all_inner_texts()]
    cells = [text.strip() for text in page.locator("tf-hparams-table-view .table-cell").all_inner_texts()]
    titles = list(takewhile(bool, cells))
    row = dict(zip(titles, cells[-len(titles) :], strict=True))
    metrics = json.loads((run_dir / "summary.json").read_text())["metrics"]
    assert float(row["epoch/test/accuracy"]) == pytest.approx(metrics["test/accuracy"], rel=1e-3)
    assert float(row["epoch/val/accuracy"]) == pytest.approx(metrics["val/accuracy"], rel=1e-3)
    assert not any(re.fullmatch(r"-1(\.0*)?", cell) for cell in row.values()), "no -1 for what is not there"


if SCREENSHOT is not None:

    def test_screenshot(page: Any, address: str) -> None:
        show(page, address, "timeseries", tagFilter="val/|train/")
        page.wait_for_selector(CURVE, state="attached")
        page.get_by_text("Enable step selection and data table").click()
        page.locator("main button", has_text="Settings").click()
        page.locator("scalar-card").nth(5).wait_for()
        page.wait_for_timeout(2000)  # until all is drawn anew
        page.screenshot(path=SCREENSHOT)
