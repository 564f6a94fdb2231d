"""The pictures of the page in docs/: those of two runs, in a browser.

    python benchmarks/pictures.py GRU TRANSFORMER docs      needs chromium, and `pip install playwright`

GRU, TRANSFORMER: trained runs of Tatoeba, en → de, in folders named `gru-attention` and `transformer`, as the
pictures call them. docs/serve.md says how they were trained.
"""

import argparse
import shutil
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright
from serving import server

SENTENCE = "I did not know that Mary speaks French so well."
OTHER = "transformer"
PICTURES = {
    "translation": {"text": SENTENCE},
    "attention": {"view": "attention", "text": "Yesterday I bought a red car from my neighbor."},
    "compare": {"view": "compare", "text": SENTENCE, "model": "gru-attention", "other": OTHER},
    "ticks": {"view": "ticks", "text": "He is good at singing.", "model": "gru-attention", "other": OTHER},
    "beam": {"view": "beam", "text": SENTENCE},
}
TICK = 60
COLORS = 256
"""As many as plain areas and smooth letters need; a picture takes a third of the bytes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("gru", "transformer", "out"):
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with server(chosen.transformer, str(chosen.gru)) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1060, "height": 560}, device_scale_factor=1.5)
        for name, state in PICTURES.items():
            page.goto("about:blank")
            page.goto(f"http://{served.host}:{served.port}/#{urlencode(state)}", wait_until="networkidle")
            prepare(page, name)
            save(page, chosen.out / f"page-{name}.png")
        browser.close()


def prepare(page: Page, name: str) -> None:
    """Have the page show what its picture is about."""
    match name:
        case "translation":
            page.locator("#view .word").last.hover()
        case "attention" | "compare":
            page.wait_for_selector(".drawing canvas, .drawing svg")
        case "ticks":
            page.locator("input[type=range]").fill(str(TICK))
            page.evaluate("document.activeElement.blur()")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1_000)  # what fades in has done so


def save(page: Page, path: Path) -> None:
    """All of the page, in few colours."""
    from PIL import Image

    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        # By the octree: the median cut makes greys of colours of which there is little.
        method = Image.Quantize.FASTOCTREE
        few = picture.convert("RGB").quantize(COLORS, method, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
