"""The report in a real browser, from file://: sorting, filters, runs behind a number, charts, dark, phone."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_samples import write_everything

from bench.__main__ import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no Chromium: apt-get install chromium chromium-driver", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (requirements.txt)")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

HOSTILE = "<img src=x onerror=console.error(1)>"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("report") / "output"
    made = write_everything(root)
    made.noise(HOSTILE, "digits", "pair", 0.5, 1, 60, classes=["</script><script>console.error(2)</script>", "b"])
    assert main(["report", str(root), "--output", str(root.parent / "report.html"), "--title", "Embedded suite"]) == 0
    return root.parent / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    """The page at desktop width and light; afterwards: nothing went wrong in it, nothing was fetched."""
    size(browser, 1280, 900)
    look(browser, "light")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what went before
    browser.get(page.as_uri())
    yield browser
    problems = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert problems == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert asked == {page.as_uri()}


def size(browser, width: int, height: int, phone: bool = False) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def look(browser, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def picture(browser, page: Path, name: str) -> None:
    """A PNG of the whole page, beside it."""
    width, height = browser.execute_script("const d = document.documentElement; return [d.clientWidth, d.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    settings = {"captureBeyondViewport": True, "clip": clip}
    data = browser.execute_cdp_cmd("Page.captureScreenshot", settings)["data"]
    (page.parent / f"{name}.png").write_bytes(base64.b64decode(data))


def table(browser, title: str):
    return browser.find_element(By.XPATH, f"//table[caption//b[starts-with(., '{title}')]]")


def column(table, number: int) -> list[str]:
    """Of the rows that are shown, in their order."""
    rows = [row for row in table.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
    return [row.find_elements(By.CSS_SELECTOR, "td")[number].text for row in rows]


def numbers(texts: list[str]) -> list[float]:
    return [float(text.partition("±")[0]) for text in texts if text != "-"]


def head(table, title: str):
    return table.find_element(By.XPATH, f".//th[button[.='{title}']]")


def background(browser) -> str:
    return browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")


def test_a_click_on_a_head_sorts_and_says_so(opened):
    shown = table(opened, "Base and new classes")
    before = column(shown, 2)
    assert numbers(before) != sorted(numbers(before), reverse=True)
    for direction, backwards in (("descending", True), ("ascending", False), ("descending", True)):
        head(shown, "Base").find_element(By.TAG_NAME, "button").click()
        assert head(shown, "Base").get_attribute("aria-sort") == direction
        after = numbers(column(shown, 2))
        assert after == sorted(numbers(before), reverse=backwards)
    head(shown, "Method").find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)  # the keyboard does it too
    assert column(shown, 1) == sorted(column(shown, 1), key=str.lower)
    assert head(shown, "Base").get_attribute("aria-sort") == "none"


def test_missing_numbers_stay_at_the_end(opened):
    shown = table(opened, "Accuracy under symmetric label noise")
    for _ in range(2):
        head(shown, "75 %").find_element(By.TAG_NAME, "button").click()
        texts = column(shown, 5)
        assert "-" in texts and texts.index("-") == len(numbers(texts))


def test_fields_narrow_down_rows_columns_sections_and_lines(opened):
    everything = table(opened, "Base and new classes")
    all_rows = len(column(everything, 0))
    Select(opened.find_element(By.ID, "method")).select_by_visible_text("CoOp")
    assert set(column(everything, 1)) == {"CoOp"} and 0 < len(column(everything, 1)) < all_rows
    pressed = opened.find_elements(By.CSS_SELECTOR, "#few_shot .legend button[aria-pressed='true']")
    assert [button.text for button in pressed] == ["CoOp"]
    Select(opened.find_element(By.ID, "dataset")).select_by_visible_text("Letters")
    assert column(everything, 0) == ["Letters"]
    targets = table(opened, "Other datasets, trained on Shapes")
    heads = [h.text for h in targets.find_elements(By.CSS_SELECTOR, "th") if h.is_displayed()]
    assert heads == ["Method", "Letters", "Seeds"]
    assert not opened.find_element(By.ID, "few_shot").is_displayed()  # nothing there is about letters
    opened.find_element(By.CSS_SELECTOR, "#filter [type=reset]").click()
    time.sleep(0.1)
    Select(opened.find_element(By.ID, "protocol")).select_by_visible_text("Few-shot")
    assert opened.find_element(By.ID, "few_shot").is_displayed()
    assert not opened.find_element(By.ID, "base2new").is_displayed()
    results = opened.find_element(By.CSS_SELECTOR, "#all table")
    assert set(column(results, 0)) == {"Few-shot"}
    opened.find_element(By.CSS_SELECTOR, "#filter [type=reset]").click()
    time.sleep(0.1)
    opened.find_element(By.ID, "text").send_keys("promptsrc digits")
    assert column(everything, 1) == ["PromptSRC"] and column(everything, 0) == ["Digits"]
    assert len(column(results, 0)) == int(opened.find_element(By.ID, "count").text.split()[0]) - _others(opened)


def test_a_filter_without_a_hit_says_so_in_the_middle_of_the_page(opened):
    none = opened.find_element(By.ID, "none")
    assert not none.is_displayed()
    opened.find_element(By.ID, "text").send_keys("nothing is called so")
    assert none.is_displayed() and "Nothing here fits" in none.text and opened.find_element(By.ID, "count").text == ""
    assert none.location["x"] < 640 and not opened.find_element(By.ID, "all").is_displayed()
    none.find_element(By.TAG_NAME, "button").click()
    time.sleep(0.1)
    assert not none.is_displayed() and opened.find_element(By.ID, "all").is_displayed()


def test_the_accuracy_of_every_result_is_in_sight_on_a_phone(opened, page):
    size(opened, 390, 844, phone=True)
    opened.get(page.as_uri())
    script = (
        "return [...document.querySelectorAll('#all .acc')].slice(0, 5).map((c) => c.getBoundingClientRect().right)"
    )
    assert all(0 < right <= 390 for right in opened.execute_script(script))


def test_base_and_new_are_drawn_beside_their_table(opened):
    size(opened, 1400, 900)
    section = opened.find_element(By.ID, "base2new")
    shown, drawn = (section.find_element(By.CSS_SELECTOR, name) for name in (".tables", "[data-charts]"))
    assert drawn.rect["x"] > shown.rect["x"] + shown.rect["width"] and drawn.rect["y"] < shown.rect["y"] + 100
    assert drawn.rect["x"] + drawn.rect["width"] > 1300  # the width of the screen is used
    figure = section.find_elements(By.CSS_SELECTOR, "figure")[1]
    opened.execute_script("arguments[0].focus()", figure.find_element(By.TAG_NAME, "svg"))
    opened.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    said = figure.find_element(By.CSS_SELECTOR, ".spoken").get_attribute("textContent")
    assert said.startswith("ZeroshotCLIP: Base ") and "HM" in said


def _others(browser) -> int:
    script = (
        "return [...document.querySelectorAll('main section:not(#all) tbody tr')].filter(r => r.offsetParent).length"
    )
    return browser.execute_script(script)


def test_a_number_lists_its_runs(opened, page):
    shown = table(opened, "Accuracy against shots")
    link = shown.find_element(By.CSS_SELECTOR, "a.cell[title='CoOp, Digits, 4 shots']")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    dialog = opened.find_element(By.ID, "runs")
    assert dialog.find_element(By.TAG_NAME, "h2").text == "CoOp, Digits, 4 shots: 3 runs"
    files = [a.get_attribute("href") for a in dialog.find_elements(By.CSS_SELECTOR, "a") if a.text == "log"]
    where = page.parent / "output/few_shot/digits/shots_4/CoOp/embedded"
    assert files == [(where / f"seed{seed}/log.txt").as_uri() for seed in (1, 2, 3)]
    mean = sum(numbers([c.text for c in dialog.find_elements(By.CSS_SELECTOR, "td.n:nth-of-type(5)")])) / 3
    assert f"{mean:.2f}" == link.text
    scroll = dialog.find_element(By.CSS_SELECTOR, ".scroll")  # nothing of it is out of sight at this width
    assert opened.execute_script("const s = arguments[0]; return s.scrollWidth <= s.clientWidth", scroll)
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()


def test_charts_read_out_and_lines_come_and_go(opened):
    chart = opened.find_element(By.CSS_SELECTOR, "#few_shot figure")
    lines = "return document.querySelectorAll('#few_shot figure:first-of-type .series').length"
    before = opened.execute_script(lines)
    assert before == 6
    opened.find_element(By.CSS_SELECTOR, "#few_shot .legend button").click()
    assert opened.execute_script(lines) == before - 1
    area = chart.find_element(By.TAG_NAME, "svg")
    opened.execute_script("arguments[0].focus()", area)
    for _ in range(3):
        opened.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    said = chart.find_element(By.CSS_SELECTOR, ".spoken").get_attribute("textContent")
    assert said.startswith("training images a class 4: ") and "CoOp " in said and "±" in said
    assert "training images a class: 4" in chart.find_element(By.CSS_SELECTOR, ".tip").text
    assert opened.execute_script("return document.querySelectorAll('#robust figure').length") == 2
    assert opened.execute_script("return document.querySelectorAll('#matrix-charts rect.heat').length") > 10
    assert opened.execute_script("return document.querySelectorAll('#training-charts path.line').length") > 3


def test_light_and_dark_follow_the_system_and_the_button(opened, page):
    assert background(opened) == "rgb(255, 255, 255)"
    picture(opened, page, "light")
    button = opened.find_element(By.ID, "theme")
    assert button.text == "Switch to dark"  # what it does, not what is
    button.click()
    dark = background(opened)
    assert dark == "rgb(21, 24, 28)" and button.text == "Switch to light"
    picture(opened, page, "dark")
    opened.find_element(By.ID, "theme").click()
    assert background(opened) == "rgb(255, 255, 255)"
    look(opened, "dark")
    opened.refresh()
    assert background(opened) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(opened, scheme):
    look(opened, scheme)
    script = """
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const linear = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = (name) => {
      const probe = document.body.appendChild(document.createElement("i"));
      probe.style.color = `var(--${name})`;
      const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number);
      probe.remove();
      return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    };
    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return Object.fromEntries(arguments[0].map((name) => [name, ratio(light(name), light("paper"))]));"""
    found = opened.execute_script(script, ["ink", "quiet", "link", *(f"s{i}" for i in range(7)), "flat"])
    assert all(found[name] >= 4.5 for name in ("ink", "quiet", "link")), found
    assert all(ratio >= 3 for ratio in found.values()), found  # lines


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_down_only(opened, page, scheme):
    size(opened, 390, 844, phone=True)
    look(opened, scheme)
    opened.get(page.as_uri())
    widths = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == 390
    picture(opened, page, f"phone-{scheme}")
    head(table(opened, "Base and new classes"), "HM").find_element(By.TAG_NAME, "button").click()
    assert head(table(opened, "Base and new classes"), "HM").get_attribute("aria-sort") == "descending"


def test_the_printed_page_is_light_and_whole(opened):
    look(opened, "dark")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert background(opened) == "rgb(255, 255, 255)"
    assert not opened.find_element(By.ID, "filter").is_displayed()
    inside = "const s = document.querySelector('.tall'); return s.scrollHeight <= s.clientHeight + 1"
    assert opened.execute_script(inside)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
