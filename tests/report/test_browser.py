"""The page in headless Chromium: it loads nothing, fits a phone, can be used without a mouse, and can be read."""

import re
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make browser installs it")
pytestmark = pytest.mark.slow
NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgb(getComputedStyle(element).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb('white');
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || ['SCRIPT', 'STYLE', 'title'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(rgb(colour)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${element.tagName} ${element.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return low;
}"""


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium: playwright's own one or that of the system."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium can be started: {str(error).splitlines()[0]}; make browser installs one")
        yield browser
        browser.close()


def watched(page, faults):
    """The page; what its console says is appended to `faults`."""
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    return page


@pytest.fixture
def open_page(chromium, planted_runs, write_page, terminal):
    """A function that opens the page of three models in a window of some size; at the end nothing went wrong."""
    for seed in (0, 1):
        planted_runs.add("good", 0.50, seed=seed, seconds=90.0, curve=[1.5, 0.9, 0.7, 0.8], config={"k": 3})
    planted_runs.add("close", 0.505, seconds=20.0)
    planted_runs.add("poor", 1.5, seconds=0.2)
    write_page()
    contexts, faults = [], []

    def open_in(size=DESK, **options):
        context = chromium.new_context(viewport=size, **options)
        contexts.append(context)
        page = watched(context.new_page(), faults)
        address = (terminal.folder / "page.html").as_uri()
        page.on("request", lambda request: faults.append(request.url) if request.url.split("#")[0] != address else None)
        page.goto(address)
        return page

    yield open_in
    for context in contexts:
        context.close()
    assert faults == []


def models(page):
    """The models of the rows that are shown, in order."""
    return page.locator("#board tbody tr:visible th a").all_text_contents()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_fits_its_window_and_can_be_read(open_page, size, scheme):
    page = open_page(size, color_scheme=scheme)
    for details in page.locator("details > summary").all():
        details.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(CONTRAST) == []


def test_rows_are_sorted_by_mouse_and_by_keyboard(open_page):
    page = open_page()
    fit = page.get_by_role("button", name="fit", exact=True)
    assert models(page) == ["good", "close", "poor"]
    fit.click()
    assert models(page) == ["poor", "close", "good"]
    assert page.locator("th[aria-sort]").all_text_contents() == ["fit"]
    fit.focus()
    page.keyboard.press("Enter")
    assert models(page) == ["good", "close", "poor"]
    assert page.locator("th[aria-sort='descending']").count() == 1
    page.get_by_role("button", name="to best", exact=True).click()  # the best row has no difference
    assert models(page) == ["close", "poor", "good"]


def test_the_filter_and_the_choice_of_columns_need_no_mouse(open_page):
    page = open_page()
    page.get_by_role("searchbox", name="Filter").focus()
    page.keyboard.type("POO")
    assert models(page) == ["poor"]
    assert page.get_by_role("status").text_content() == "1 of 3 models"
    assert not page.get_by_role("button", name="MAE", exact=True).is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="MAE", exact=True).is_visible()


def test_marks_are_explained_on_hover_focus_and_tap(open_page):
    page = open_page()
    mark, tip = page.get_by_role("button", name="≈"), page.get_by_role("tooltip")
    mark.hover()
    assert tip.text_content().startswith("does not differ significantly from the best")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    mark.focus()
    assert tip.is_visible()
    assert mark.get_attribute("aria-describedby") == "tip"
    phone = open_page(PHONE, has_touch=True)
    phone.get_by_role("button", name="≈").tap()
    assert phone.get_by_role("tooltip").is_visible()


def test_every_control_has_a_name_and_a_link_opens_the_record(open_page):
    page = open_page()
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    kinds = {"button", "link", "checkbox", "searchbox", "region", "image", "DisclosureTriangle", "navigation"}
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    controls = [(role, name) for role, name in named if role in kinds]
    assert {"button", "link", "checkbox", "searchbox", "region", "image"} <= {role for role, _ in controls}
    assert [role for role, name in controls if not name.strip()] == []
    page.locator("#board").get_by_role("link", name="close").click()
    record = page.locator("details:target")
    assert record.get_attribute("open") is not None
    assert "cfbench run close" in record.text_content()


def test_the_page_is_whole_without_its_script_and_on_paper(open_page):
    page = open_page(java_script_enabled=False)
    assert models(page) == ["good", "close", "poor"]
    assert not page.get_by_role("searchbox").is_visible()
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation").is_visible()
    assert re.match("good predicts best", page.get_by_role("heading", level=1).text_content())


def test_a_served_page_follows_the_results_and_stays_where_its_reader_was(chromium, planted_runs, serve_page):
    for name, noise in (("good", 0.5), ("close", 0.505), ("poor", 1.5)):
        planted_runs.add(name, noise, seconds=noise, curve=[1.5, 0.9])
    server, faults = serve_page(), []
    context = chromium.new_context(viewport=DESK)
    page = watched(context.new_page(), faults)
    address = f"http://localhost:{server.port}/"
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith(address) else None)
    page.goto(address)
    under_way = page.locator("#under-way tbody tr")
    playwright.expect(page.get_by_role("status").first).to_have_text(re.compile("^No run is under way"))
    with planted_runs.under_way("slow", [1.5, 0.9]):
        playwright.expect(under_way).to_have_text(re.compile(r"slow.*tiny, random90.*2 of 9.*best 0.9000 in epoch 2"))
    playwright.expect(under_way).to_have_count(0)

    page.get_by_role("button", name="RMSE", exact=True).click()
    page.get_by_role("button", name="RMSE", exact=True).click()
    page.get_by_label("All columns").check()
    record = page.locator("details.record", has_text="cfbench run close")
    record.locator("summary").click()
    page.get_by_role("searchbox", name="Filter").fill("o")
    page.evaluate("scrollTo({ top: document.querySelector('details[open]').offsetTop - 40, behavior: 'instant' })")
    before = record.bounding_box()["y"]
    planted_runs.add("newcomer", 0.3, curve=[1.5, 0.8])
    playwright.expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile("^newcomer predicts best"), timeout=60000
    )
    assert models(page) == ["poor", "close", "good", "newcomer"]
    assert page.locator("th[aria-sort='descending']").text_content() == "RMSE"
    assert page.get_by_label("All columns").is_checked()
    assert page.locator("details[open]").count() == 1
    assert abs(record.bounding_box()["y"] - before) < 3
    page.keyboard.press("Backspace")  # the filter still has the focus
    assert page.get_by_role("searchbox", name="Filter").input_value() == ""
    assert page.evaluate(CONTRAST) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []
    server.shutdown()
    server.server_close()
    playwright.expect(page.get_by_role("status").first).to_have_text(
        re.compile("^cfbench serve has not answered since")
    )
    context.close()
