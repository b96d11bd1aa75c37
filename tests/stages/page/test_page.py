"""The page in a real browser: it loads in silence, fetches nothing, and fits desktop, phone, paper and the dark."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.stages.page.conftest import prefer, size, width


def test_it_loads_without_an_error_and_fetches_nothing(browser: webdriver.Chrome) -> None:
    log: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    assert log == []
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    outside = [name for name in fetched if not name.startswith("data:")]
    assert [name.rpartition("/")[2] for name in outside] in ([], ["times.html"])  # a file beside the page


def test_every_preview_is_a_picture_with_a_text_for_those_who_cannot_see_it(
    browser: webdriver.Chrome,
) -> None:
    images = browser.find_elements(By.TAG_NAME, "img")
    widths = [int(str(image.get_property("naturalWidth"))) for image in images]
    # Of seven methods two have no preview; five have an encoder that counts, whose sixteen filters lie in two rows.
    assert sorted(widths) == [31] * 5 + [512] * 5
    assert all(image.get_attribute("alt") for image in images)


def test_every_plot_has_a_title_units_and_a_legend(browser: webdriver.Chrome) -> None:
    plots = browser.find_elements(By.CSS_SELECTOR, ".plotly-graph-div")
    # Labels, confusion, cost, maps, a loss a trained method, spread and rank.
    assert len(plots) == 1 + 5 + 2 + 3 + 5 + 2
    bare = browser.find_elements(
        By.CSS_SELECTOR, ":is(.map, .matrix) .plotly-graph-div"
    )  # one legend for all
    for plot in plots:
        for part in (".gtitle", ".xtitle", ".ytitle", *([] if plot in bare else [".legendtext"])):
            assert plot.find_element(By.CSS_SELECTOR, part).get_attribute("textContent"), part


def test_times_are_put_into_plots_and_table(browser: webdriver.Chrome) -> None:
    WebDriverWait(browser, 5).until(
        lambda b: b.find_element(By.CSS_SELECTOR, "[data-kind=seconds]").is_displayed()
    )
    script = "return document.querySelector('[data-kind=seconds] .plotly-graph-div').data.map(t => [t.name, t.x[0]])"
    found = dict(browser.execute_script(script))
    assert found["rotation"] == pytest.approx(30_000 / 1018, abs=0.1) and found["random"] is None
    assert not browser.find_element(By.CSS_SELECTOR, ".no-times").is_displayed()
    row = browser.find_element(By.CSS_SELECTOR, ".costs tr:has([data-value=simclr])")
    cells = [str(cell.get_attribute("textContent")) for cell in row.find_elements(By.TAG_NAME, "td")]
    assert cells[1:] == ["57.92", "518", "30,000", "701,000", "CPU, 2 threads"]


def test_without_times_the_page_says_so(browser: webdriver.Chrome) -> None:
    here = browser.current_url
    page = Path(here.removeprefix("file://"))
    alone = page.parent.parent / "alone.html"
    alone.write_text(page.read_text())
    browser.get(alone.as_uri())
    assert browser.find_element(By.CSS_SELECTOR, ".no-times").is_displayed()
    assert not browser.find_element(By.CSS_SELECTOR, "[data-kind=seconds]").is_displayed()
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    browser.get(here)


def test_a_sample_is_seen_under_the_pointer_and_a_class_is_followed(browser: webdriver.Chrome) -> None:
    size(browser, 1280)
    peek = browser.find_element(By.CSS_SELECTOR, ".peek")
    assert not peek.is_displayed()
    plot = browser.find_element(By.CSS_SELECTOR, ".map .plotly-graph-div")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
    point = plot.find_element(By.CSS_SELECTOR, ".trace.scatter .point")
    away = plot.find_element(By.CSS_SELECTOR, ".gtitle")

    def pointed(_: webdriver.Chrome) -> bool:
        """Come again: a scroll event that is still on its way hides what the pointer showed."""
        ActionChains(browser).move_to_element(away).move_to_element(point).pause(0.3).perform()
        return peek.is_displayed()

    WebDriverWait(browser, 20).until(pointed)
    assert "activities" in peek.text and peek.find_element(By.CSS_SELECTOR, ".tile").is_displayed()
    ActionChains(browser).move_to_element(browser.find_element(By.CSS_SELECTOR, ".gallery h3")).perform()
    legend = browser.find_elements(By.CSS_SELECTOR, ".gallery .legend button")
    assert len(legend) == 7 and any("flags" in button.text for button in legend)
    script = "return [...document.querySelectorAll('.map .plotly-graph-div')].map(p => p.data.map(t => t.opacity ?? 1))"
    for expected in ([0.08, 0.08, 1, 0.08, 0.08, 0.08, 0.08], [1] * 7):
        legend[2].send_keys(Keys.ENTER)
        assert browser.execute_script(script) == [expected] * 3


def test_neighbours_are_marked_by_more_than_colour(browser: webdriver.Chrome) -> None:
    cards = browser.find_elements(By.CSS_SELECTOR, ".card:has(.near)")
    told = [str(card.find_element(By.TAG_NAME, "figcaption").get_attribute("textContent")) for card in cards]
    assert [text.split(":")[0] for text in told] == ["random", "rotation", "simclr"]
    assert (
        told[1:] == ["rotation: 30 of 30 right", "simclr: 30 of 30 right"]
        and told[0] != "random: 30 of 30 right"
    )
    tiles = cards[0].find_elements(By.CSS_SELECTOR, ".tile")
    assert len(tiles) == 35 and all(tile.get_attribute("aria-label") for tile in tiles)
    loaded = "const i = new Image(); i.src = getComputedStyle(arguments[0]).backgroundImage.slice(5, -2);"
    width = browser.execute_async_script(
        loaded + "i.decode().then(() => arguments[1](i.naturalWidth))", tiles[0]
    )
    assert width == 32 * 48


def test_on_a_phone_tables_scroll_and_the_page_does_not(browser: webdriver.Chrome) -> None:
    size(browser, 390)
    for details in browser.find_elements(By.TAG_NAME, "details"):
        browser.execute_script("arguments[0].open = true", details)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    table = browser.find_element(By.CSS_SELECTOR, ".scroll:has(table.leaders)")
    assert width(table, "scroll") > width(table, "client")
    assert table.get_attribute("tabindex") == "0"  # so that the arrow keys scroll it


def test_plots_follow_the_width_of_the_window(browser: webdriver.Chrome) -> None:
    size(browser, 390)
    wide = browser.execute_async_script(
        "const done = arguments[0]; setTimeout(() => done([...document.querySelectorAll('.plot')].map("
        "f => [f.clientWidth, f.querySelector('.main-svg').clientWidth])), 1000)"
    )
    assert all(inside <= outside for outside, inside in wide), wide


def test_dark_follows_the_system_and_paper_is_light(browser: webdriver.Chrome) -> None:
    def ground() -> list[str]:
        script = "return [getComputedStyle(document.body).backgroundColor, ...new Set([...document.querySelectorAll("
        found: list[str] = browser.execute_script(
            script + "'.plotly-graph-div')].map(p => p.layout.paper_bgcolor))]"
        )
        return found

    def supervised() -> str:
        script = "return document.querySelector('.tall .plotly-graph-div').data.find(t => t.name === 'supervised').line"
        return str(browser.execute_script(script + ".color"))

    size(browser, 1280)
    for mode, expected, ink in (
        ("dark", ["rgb(18, 22, 28)", "#1b2129"], "#e6eaef"),
        ("light", ["rgb(245, 247, 249)", "#ffffff"], "#1d2733"),
    ):
        prefer(browser, mode)
        settled = partial(lambda wanted, _: ground() == wanted, expected)
        WebDriverWait(browser, 5).until(settled)
        assert supervised() == ink
        if mode == "dark":
            browser.execute_script("dispatchEvent(new Event('beforeprint'))")
            assert ground()[1:] == ["#ffffff"]
            browser.execute_script("dispatchEvent(new Event('afterprint'))")
            assert ground()[1:] == ["#1b2129"]
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_what_failed_and_what_is_stale_is_said(browser: webdriver.Chrome) -> None:
    banner = browser.find_element(By.CSS_SELECTOR, ".banner").text
    assert "2 of 8 rows are incomplete" in banner
    assert "jigsaw: stale" in banner and "colorization: failed or not run" in banner


def test_names_are_shown_as_text_and_never_as_markup(browser: webdriver.Chrome) -> None:
    assert "OpenMoji 17 <color>" in browser.find_element(By.CSS_SELECTOR, "h2").text
    cells = [
        cell.get_attribute("textContent") for cell in browser.find_elements(By.CSS_SELECTOR, "details td")
    ]
    assert not any("<b>empty</b>.png" in str(cell) for cell in cells)  # the 61st: past what is shown
    assert Path(browser.current_url.removeprefix("file://")).exists()
