"""The page in a real browser, on a real server with two small runs. Screenshots: $ATONCE_SCREENSHOTS."""

import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tiny
from atonce.disk import owned
from atonce.serve.app import build_app
from atonce.serve.limits import Limits
from atonce.serve.registry import ModelRegistry
from atonce.serve.server import address_of, listen, server_of
from atonce.studies.experiment import train

api = pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
api.expect.set_options(timeout=20_000)  # milliseconds, for a machine that does other things too

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TEXT = "Monday, 3 May 1999"
VIEWS = ("translation", "attention", "compare", "ticks", "beam", "what-if", "runs")
RIGHT_TO_LEFT = "الاثنين، 3 مايو 1999"
CHINESE = "1999年5月3日星期一"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    if CHROMIUM is None:
        if os.environ.get("ATONCE_NEEDS_BROWSER"):
            pytest.fail("there is no chromium, and $ATONCE_NEEDS_BROWSER wants one")
        pytest.skip("the page was NOT tested: there is no chromium (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A Transformer and a GRU that have begun to write dates."""
    folder = tmp_path_factory.mktemp("served")
    long = {"steps": 120, "validate_every": 40, "batch_tokens": 512}
    return [
        train(tiny.recipe(model=model, training=long), folder / name, quiet=True).run.path
        for name, model in (("transformer", tiny.TRANSFORMER), ("gru", tiny.GRU))
    ]


@pytest.fixture(scope="module")
def address(trained: list[Path]) -> Iterator[str]:
    with serving(build_app(ModelRegistry.open(trained), Limits(), hosts=("127.0.0.1",))) as address:
        yield address


@contextmanager
def serving(app) -> Iterator[str]:
    """A real server of the app, at this address."""
    listening, ready = listen("127.0.0.1", 0), threading.Event()
    server = server_of(app, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(20)
    yield address_of(listening) + "/"
    server.should_exit = True
    thread.join(20)
    listening.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("ATONCE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def open_page(browser, address: str) -> Iterator[Callable]:
    """Opens the page at a place of it. At the end, nothing may have gone wrong in the browser."""
    faults: list[str] = []
    contexts = []

    def opened(place: str = "", *, at: str = address, refused: bool = False, **how):
        """`refused`: the server will say no, which the browser notes as an error."""
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **how})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on(
            "console", lambda said: faults.append(said.text) if said.type == "error" and not refused else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((at, "blob:", "data:")) else faults.append(asked.url),
        )
        page.goto(f"{at}#{place}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def output_of(page) -> str:
    """The output, once it is there."""
    api.expect(page.locator("#output")).not_to_have_text("")
    return page.locator("#output").inner_text()


def test_typing_translates(open_page: Callable, screenshots: Path) -> None:
    page = open_page()
    before = output_of(page)
    assert page.locator("#examples button").count() >= 3
    page.fill("#text", "")
    api.expect(page.locator("#view")).to_have_class(re.compile("empty"))
    page.locator("#text").press_sequentially("Sunday, 12 December 2049", delay=10)
    api.expect(page.locator(".word").first).to_be_visible()
    assert page.evaluate("location.hash").count("Sunday") == 1
    page.locator("#examples button").nth(0).click()
    api.expect(page.locator("#output")).to_have_text(before)
    page.screenshot(path=screenshots / "translation.png", full_page=True)


@pytest.mark.parametrize("how", ["hover", "keyboard", "touch"])
def test_a_word_shows_what_it_looked_at(open_page: Callable, how: str) -> None:
    page = open_page(f"text={TEXT}", **({"has_touch": True} if how == "touch" else {}))
    words = page.locator(".side").nth(1).locator(".word")
    api.expect(words.first).to_be_visible()
    if how == "hover":
        words.first.hover()
    elif how == "touch":
        words.first.tap()
    else:
        words.first.focus()
        page.keyboard.press("End")
        page.keyboard.press("Home")
    api.expect(page.locator(".spoken")).to_contain_text("looked at")
    assert page.locator(".pointing").count() == 1
    weights = page.locator(".side").nth(0).locator(".word").evaluate_all(
        "words => words.map(word => Number(word.style.getPropertyValue('--weight')))"
    )  # fmt: skip
    assert 0 < sum(weights) <= 1.01


def test_outputs_are_sampled(open_page: Callable, screenshots: Path) -> None:
    page = open_page(f"text={TEXT}&seed={2**64 - 1}")
    api.expect(page.locator(".alternatives summary")).to_contain_text("best output")
    api.expect(page.get_by_role("button", name="Sample again")).to_be_hidden()
    page.get_by_label("Decoding").select_option("1")
    api.expect(page.locator(".alternatives summary")).to_have_text("5 samples, most probable first")
    first = page.locator(".alternatives li").all_inner_texts()
    page.screenshot(path=screenshots / "sampled.png", full_page=True)
    again = page.get_by_role("button", name="Sample again")
    with page.expect_response("**/v1/look"):
        again.click()
    api.expect(page).to_have_url(re.compile("seed=0"))
    api.expect(page.locator(".alternatives li").first).not_to_have_text(first[0])
    api.expect(again).to_be_focused()


def test_words_are_shaded_by_confidence(open_page: Callable) -> None:
    page = open_page(f"text={TEXT}")
    first = page.locator(".side").nth(1).locator(".word").first
    assert 0 <= float(first.evaluate("word => word.style.getPropertyValue('--doubt')")) <= 1
    assert "probability" in (first.get_attribute("title") or "")


def test_the_heat_map_has_layers_and_heads(open_page: Callable, screenshots: Path) -> None:
    page = open_page(f"text={TEXT}&view=attention")
    figure = page.locator(".figure svg")
    api.expect(figure).to_contain_text("mean of 2 heads")
    heads = page.locator(".head")
    assert heads.count() == 2
    api.expect(heads.first).to_contain_text(
        re.compile(r"(diagonal|previous|next|sentence|mixed), \d\.\d bits")
    )
    heads.nth(1).click()
    api.expect(figure).to_contain_text("head 2 of 2")
    api.expect(heads.nth(1)).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Head", exact=True).select_option("max")
    api.expect(figure).to_contain_text("max of 2 heads")
    page.get_by_label("Layer", exact=True).select_option("encoder.layers.0.attention")
    api.expect(figure).to_contain_text("encoder.layers.0.attention")
    page.get_by_label("Rows and columns", exact=True).select_option("tokens")
    api.expect(figure).to_contain_text("Each row and column is one token")
    page.get_by_label("End of sentence", exact=True).select_option("renormalised")
    api.expect(figure).to_contain_text("is left out")
    page.screenshot(path=screenshots / "attention.png", full_page=True)


@pytest.mark.parametrize(
    ("button", "begins"),
    [("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"map,row"), ("offline page", b"<!DOCTYPE")],
)
def test_heat_maps_are_saved(open_page: Callable, button: str, begins: bytes) -> None:
    page = open_page(f"text={TEXT}&view=attention")
    api.expect(page.locator(".figure svg")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    assert Path(download.value.path()).read_bytes().startswith(begins)


def test_alignments_are_saved(open_page: Callable) -> None:
    page = open_page(f"text={TEXT}")
    output_of(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Pharaoh").click()
    assert re.fullmatch(r"(\d+-\d+( |$))*", Path(download.value.path()).read_text().strip())


def test_two_models_side_by_side(open_page: Callable, screenshots: Path) -> None:
    page = open_page(f"text={TEXT}&view=compare")
    api.expect(page.locator(".two section")).to_have_count(2)
    api.expect(page.locator(".figure svg")).to_contain_text("difference")
    page.screenshot(path=screenshots / "compare.png", full_page=True)


def test_the_tick_player_lights_cells_up(open_page: Callable, screenshots: Path) -> None:
    page = open_page("view=ticks")
    grids = page.locator(".ticks")
    api.expect(grids).to_have_count(2)
    assert page.locator("td.lit").count() == 0
    last = int(page.locator("#tick").get_attribute("max") or 0)
    page.locator("#tick").fill(str(last // 2))
    half = page.locator("td.lit").count()
    assert half > 0
    page.screenshot(path=screenshots / "ticks.png", full_page=True)
    page.locator("#tick").fill(str(last))
    assert page.locator("td.lit").count() == page.locator(".ticks td").count() > half
    api.expect(grids.first.locator(".counter")).to_contain_text(
        re.compile(r"work [\d,]+ · span \d+ · parallelism")
    )

    grids.first.locator("td[tabindex='0']").first.focus()
    assert page.locator("td.into").count() > 0

    page.get_by_label("Phase", exact=True).select_option("generation")
    api.expect(grids.first).to_contain_text("generation")
    page.locator("#play").click()
    api.expect(page.locator("td.lit").first).to_be_visible()
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Play"


def test_the_beam_can_be_bent(open_page: Callable, screenshots: Path) -> None:
    page = open_page(f"text={TEXT}&view=beam")
    api.expect(page.locator(".candidate").nth(5)).to_be_visible()
    best = page.locator(".nbest li")
    assert best.count() >= 1
    other = page.locator(".candidate.dropped:not([disabled])").first
    beginning = (
        (other.get_attribute("aria-label") or "").removeprefix("Step 1, ").partition(":")[0].strip("▁")
    )
    page.screenshot(path=screenshots / "beam.png", full_page=True)
    other.click()
    api.expect(page.locator(".controls")).to_contain_text("Forced prefix")
    api.expect(best.first).to_contain_text(re.compile("^" + re.escape(beginning)))
    page.get_by_role("button", name="Remove the prefix").click()
    api.expect(page.locator(".controls")).not_to_contain_text("Forced prefix")
    page.get_by_label("Beam size", exact=True).select_option("5")
    api.expect(page.locator(".candidate").nth(9)).to_be_visible()


def test_interventions_change_the_output(open_page: Callable, screenshots: Path) -> None:
    page = open_page(f"text={TEXT}&view=what-if")
    results = page.locator(".results")
    api.expect(results).to_contain_text("no changes yet")
    page.locator(".toggles button").nth(1).click()
    api.expect(results).not_to_contain_text("no changes yet")
    page.locator(".toggles button").nth(1).click()
    api.expect(results).to_contain_text("no changes yet")
    page.get_by_label("Replace", exact=True).select_option("2")
    page.get_by_label("Replacement").fill("June")
    page.get_by_label("Replacement").press("Enter")
    api.expect(results).not_to_contain_text("no changes yet")
    page.get_by_label("decoder.layers.0.cross_attention, head 2").click()
    api.expect(page.get_by_label("decoder.layers.0.cross_attention, head 2")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.fill("#prefix", "7")
    page.locator("#prefix").press("Enter")
    api.expect(page.locator(".changed")).to_contain_text(re.compile("^7"))
    for measure in ("occlusion", "attention", "gradient"):
        page.get_by_label("Measure", exact=True).select_option(measure)
        api.expect(page.locator(".figure svg")).to_contain_text(re.compile(measure, re.IGNORECASE))
    page.screenshot(path=screenshots / "what-if.png", full_page=True)
    page.get_by_role("button", name="Undo all changes").click()
    api.expect(results).to_contain_text("no changes yet")


def test_a_running_training_moves(open_page: Callable, trained: list[Path], screenshots: Path) -> None:
    page = open_page("view=runs")
    run = page.get_by_role("region", name="gru")
    api.expect(run.locator(".figure svg")).to_contain_text("validation loss")
    api.expect(run.locator(".scores")).to_contain_text("nrefs:1")
    page.screenshot(path=screenshots / "runs.png", full_page=True)
    log = trained[1] / "log.jsonl"
    before = log.read_text()
    last = json.loads(before.splitlines()[-1])
    try:
        more = {**last, "step": last["step"] + 11, "planned_steps": last["step"] + 100}
        with owned(trained[1], "training"):  # as a process that trains it has it
            log.write_text(before + json.dumps(more) + "\n")
            api.expect(run).to_contain_text(f"step {last['step'] + 11}")
            api.expect(run).to_contain_text("training now")
    finally:
        log.write_text(before)


def test_a_link_shows_the_same(open_page: Callable) -> None:
    page = open_page(f"text={TEXT}&view=attention")
    page.locator(".head").nth(1).click()
    api.expect(page.locator(".figure svg")).to_contain_text("head 2 of 2")
    again = open_page(page.evaluate("location.hash.slice(1)"))
    api.expect(again.locator(".figure svg")).to_contain_text("head 2 of 2")
    assert again.locator("#text").input_value() == TEXT
    again.get_by_role("link", name="Beam").click()
    api.expect(again.locator(".candidate").first).to_be_visible()
    again.go_back()
    api.expect(again.locator(".figure svg")).to_contain_text("head 2 of 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_everybody_can_use_it(open_page: Callable, screenshots: Path, view: str, scheme: str) -> None:
    page = open_page(f"text={TEXT}&view={view}", color_scheme=scheme, viewport={"width": 380, "height": 800})
    page.wait_for_load_state("networkidle")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.screenshot(path=screenshots / f"{view}-{scheme}-narrow.png", full_page=True)


@pytest.mark.parametrize(("name", "text"), [("right-to-left", RIGHT_TO_LEFT), ("chinese", CHINESE)])
def test_other_scripts(open_page: Callable, screenshots: Path, name: str, text: str) -> None:
    page = open_page(f"text={text}")
    side = page.locator(".side").first
    api.expect(side.locator(".word").first).to_be_visible()
    direction = side.evaluate("side => getComputedStyle(side).direction")
    assert direction == ("rtl" if name == "right-to-left" else "ltr")
    if name == "right-to-left":
        left = [word.bounding_box()["x"] for word in side.locator(".word").all()]
        assert left == sorted(left, reverse=True)
    page.screenshot(path=screenshots / f"{name}.png", full_page=True)


def test_a_long_sentence_is_drawn_as_pixels(open_page: Callable) -> None:
    """Thousands of cells as elements would be laid out for seconds; benchmarks/page.py has the frames."""
    text = " ".join(f"{day} May 19{day:02}" for day in range(10, 26))
    page = open_page(f"text={text}&view=attention&head=1&tokens=tokens&layer=encoder.layers.0.attention")
    api.expect(page.locator(".figure canvas")).to_be_visible()
    assert page.locator("*").count() < 3_000


def test_what_users_write_is_text(open_page: Callable) -> None:
    page = open_page()
    page.fill("#text", "<img src=x onerror=alert(1)> 3 May 1999 </script><b>")
    api.expect(page.locator(".side").first).to_contain_text("<img")
    assert page.locator("#view img, #view b").count() == 0


def test_the_interface_is_described_for_people(open_page: Callable, screenshots: Path) -> None:
    page = open_page()
    page.get_by_role("link", name="REST interface").click()
    section = page.get_by_role("region", name="post /v1/translate")
    api.expect(section).to_contain_text("Beam size; 1 is greedy")
    page.screenshot(path=screenshots / "docs.png", full_page=True)


def test_a_token_is_asked_for(open_page: Callable, trained: list[Path]) -> None:
    with serving(build_app(ModelRegistry.open(trained[:1]), Limits(), token="open-sesame")) as address:
        page = open_page(at=address, refused=True)
        page.get_by_label("This server requires an access token").fill("open-sesame")
        page.get_by_role("button", name="Sign in").click()
        output_of(page)
        api.expect(page.locator("#token-form")).to_be_hidden()


def test_errors_are_shown(open_page: Callable) -> None:
    page = open_page(f"text={TEXT}&view=attention&layer=nowhere", refused=True)
    api.expect(page.locator("#error")).to_contain_text("there is no attention layer")
