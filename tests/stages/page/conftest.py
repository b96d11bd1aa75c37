"""A real browser, showing the report of a made-up tree."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver

from stages import report
from tests.stages.conftest import write_tree

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """The report of the made-up tree, opened from disk at desktop width."""
    if not (BROWSER and DRIVER):
        pytest.skip("needs chromium and chromedriver (apt install chromium chromium-driver)")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        report.report(write_tree())
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    size(driver, 1280)
    prefer(driver, "light")
    driver.get((folder / report.REPORT / "index.html").as_uri())
    yield driver
    driver.quit()


def size(browser: webdriver.Chrome, width: int) -> None:
    """A window narrower than the browser allows is emulated, as its developer tools do."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    """What the system asks of pages: this scheme, and no motion, so that nothing moves away while it is clicked."""
    wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def width(element: Any, kind: str) -> int:
    return int(element.get_property(f"{kind}Width"))
