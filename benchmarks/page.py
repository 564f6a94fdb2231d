"""The page in a browser: how soon there is something to see, and how soon a typed text is translated.

    python benchmarks/page.py RUN                      needs chromium, and `pip install playwright`

Each is measured many times on a server that runs; medians. Frames are those of scrolling over the heat map of
a text of about 130 tokens.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path

import contest
from playwright.sync_api import Page, sync_playwright
from serving import Server, server

from atonce.data.prepare import open_prepared
from atonce.studies.environment import machine

FRAMES = """async () => {
    const times = [];
    let last = performance.now();
    for (let frame = 0; frame < 60; frame++) {
        scrollBy(0, frame < 30 ? 15 : -15);
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - last);
        last = performance.now();
    }
    return times;
}"""
# From the key to the output in the document, by the page's own clock: no way to the browser and back in it.
TYPED = """text => new Promise((resolve) => {
    const field = document.getElementById("text"), output = document.getElementById("output");
    const began = performance.now();
    new MutationObserver((_, observer) => {
        observer.disconnect();
        resolve(performance.now() - began);
    }).observe(output, { childList: true });
    field.value = text;
    field.dispatchEvent(new Event("input"));
})"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--times", type=int, default=30)
    chosen = parser.parse_args()
    texts = list(dict.fromkeys(pair.source for pair in open_prepared(chosen.run).test_pairs))
    short = [text for text in texts if 15 <= len(text) <= 50][: chosen.times]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with server(chosen.run) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        found = {
            "first view": [first_view(page, served, text) for text in short],
            "typing to translation": [page.evaluate(TYPED, text) for text in short[1:] + short[:1]],
            "frame of a long heat map": frames(page, served, texts),
        }
        browser.close()
    rows = [
        (what, f"{statistics.median(times):,.0f}", f"{max(times):,.0f}", str(len(times)))
        for what, times in found.items()
    ]
    contest.show(f"The page: {machine()}", ("", "median ms", "most", "times"), rows)
    print(json.dumps({"machine": machine(), "milliseconds": found}))


def address(served: Server) -> str:
    return f"http://{served.host}:{served.port}/"


def first_view(page: Page, served: Server, text: str) -> float:
    """Milliseconds from asking for the page to the words of a translation, with an empty cache of figures."""
    page.goto("about:blank")
    page.goto(f"{address(served)}#text={text}", wait_until="commit")
    page.wait_for_selector(".word")
    return float(page.evaluate("performance.now()"))


def frames(page: Page, served: Server, texts: list[str]) -> list[float]:
    """Milliseconds of each frame while a long heat map is scrolled over."""
    long = " ".join(texts[:12])
    page.goto("about:blank")
    page.goto(f"{address(served)}#view=attention&tokens=tokens&text={long}")
    page.wait_for_selector(".drawing canvas, .drawing svg")
    times: list[float] = page.evaluate(FRAMES)
    return times


if __name__ == "__main__":
    main()
