"""The leaderboard in a real browser: it sorts by mouse and keyboard, folds what is rarely asked, and scrolls."""

from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.stages.page.conftest import size, width


def column(browser: webdriver.Chrome, number: int) -> list[str]:
    script = "return [...document.querySelectorAll('.leaders tbody tr')].map(r => r.cells[arguments[0]].dataset.value)"
    found: list[str] = browser.execute_script(script, number)
    return found


def head(browser: webdriver.Chrome, number: int) -> Any:
    return button(browser, number).find_element(By.XPATH, "..")


def button(browser: webdriver.Chrome, number: int) -> Any:
    return browser.find_element(By.CSS_SELECTOR, f"table.leaders button.sort[data-column='{number}']")


def seen(browser: webdriver.Chrome) -> list[str]:
    """What stands in the headings of columns that are not folded away."""
    heads = browser.find_elements(By.CSS_SELECTOR, "table.leaders thead th:has(.sort)")
    return [each.text.replace("\n", " ").strip() for each in heads if each.is_displayed()]


def test_the_table_opens_sorted_by_linear_accuracy(browser: webdriver.Chrome) -> None:
    assert head(browser, 1).get_attribute("aria-sort") == "descending"
    values = [float(value) for value in column(browser, 1) if value]
    assert values == sorted(values, reverse=True) and len(values) == 6
    assert column(browser, 1)[-2:] == ["", ""]


def test_a_click_sorts_and_another_turns_the_order_with_what_is_missing_last(
    browser: webdriver.Chrome,
) -> None:
    knn = 3
    for direction in ("descending", "ascending"):
        button(browser, knn).click()
        assert head(browser, knn).get_attribute("aria-sort") == direction
        values = [float(value) for value in column(browser, knn) if value]
        assert values == sorted(values, reverse=direction == "descending") and len(values) == 5
        assert column(browser, knn)[-3:] == ["", "", ""]
    assert head(browser, 1).get_attribute("aria-sort") is None


def test_where_less_is_better_the_least_comes_first(browser: webdriver.Chrome) -> None:
    perplexity = 8
    assert "less is better" in head(browser, perplexity).text
    button(browser, perplexity).click()
    assert head(browser, perplexity).get_attribute("aria-sort") == "ascending"
    values = [float(value) for value in column(browser, perplexity) if value]
    assert values == sorted(values) and len(values) > 4


def test_the_keyboard_sorts_as_well(browser: webdriver.Chrome) -> None:
    first = button(browser, 0)
    browser.execute_script("arguments[0].focus()", browser.find_element(By.CSS_SELECTOR, "button.unfold"))
    browser.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
    assert browser.switch_to.active_element == first
    first.send_keys(Keys.ENTER)
    assert column(browser, 0) == sorted(column(browser, 0))


def test_what_else_a_task_measures_is_folded_away_until_asked_for(browser: webdriver.Chrome) -> None:
    few = seen(browser)
    assert len(few) == 8 and not any("mean_per" in text for text in few)  # five tasks, method, pretext, seeds
    unfold = browser.find_element(By.CSS_SELECTOR, "button.unfold")
    unfold.send_keys(Keys.ENTER)
    assert unfold.get_attribute("aria-expanded") == "true"
    assert sum("mean_per" in text for text in seen(browser)) == 1
    unfold.send_keys(Keys.ENTER)
    assert seen(browser) == few
    everything = browser.find_element(By.CSS_SELECTOR, ".unfold-all")
    everything.send_keys(Keys.ENTER)
    assert len(seen(browser)) == 12 and "Show all 9 columns" in everything.text
    everything.send_keys(Keys.ENTER)
    assert seen(browser) == few


def test_the_method_stays_in_sight_while_columns_scroll(browser: webdriver.Chrome) -> None:
    size(browser, 390)
    table = browser.find_element(By.CSS_SELECTOR, ".scroll:has(table.leaders)")
    names = table.find_elements(By.CSS_SELECTOR, "thead tr:first-child th:first-child, tbody th")[:3]
    before = [name.rect["x"] for name in names]
    browser.execute_script("arguments[0].scrollLeft = 200", table)
    assert [name.rect["x"] for name in names] == before
    browser.execute_script("arguments[0].scrollLeft = 0", table)


def test_the_table_fits_a_desktop_window(browser: webdriver.Chrome) -> None:
    size(browser, 1280)
    table = browser.find_element(By.CSS_SELECTOR, ".scroll:has(table.leaders)")
    assert width(table, "scroll") <= width(table, "client")
