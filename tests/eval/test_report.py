# SPDX-License-Identifier: MIT
"""The report says what the tables say, stands alone, and works in a browser."""

from __future__ import annotations

import re
import shutil
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from c3video.errors import SourceError
from eval.rd import at_equal_rates, bd_rate
from eval.report.__main__ import main
from eval.report.chart import Axis, Line, line_chart
from eval.report.curves import rd_picture
from eval.report.losses import published_losses, ratios
from eval.report.page import render
from eval.run_folder import Series, read_run_folder
from tests.eval.run_folders import CRFS, QUALITIES, add_pictures, make_run_folder

CLIPS = {"harbour": (12, 64, 96), "garden": (12, 64, 96), "cat": (1, 64, 64)}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run_folder(tmp_path_factory.mktemp("run"), CLIPS, steps=range(0, 451, 50))
    for quality in QUALITIES[:2]:
        add_pictures(folder, "harbour", quality, 64, 96)
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return render(read_run_folder(out))


class _Outline(HTMLParser):
    """Sections, and whether every element that is opened is closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "section":
            self.sections.append(str(values["id"]))
        self.addresses += [value for name in ("src", "href") if (value := values.get(name))]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


def outline(page: str) -> _Outline:
    parser = _Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_page_has_every_section_that_was_measured(page: str) -> None:
    assert outline(page).sections == (
        ["rd", "bd", "equal-rate", "look", "frames", "cost", "bits", "windows", "convergence", "points", "conditions"]
    )


def test_page_needs_no_other_file_and_no_network(page: str) -> None:
    assert all(address.startswith(("#", "data:")) for address in outline(page).addresses)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "@import" not in page


def test_page_of_points_alone_has_the_sections_of_points(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    assert outline(render(read_run_folder(tmp_path))).sections == [
        "rd",
        "bd",
        "equal-rate",
        "cost",
        "points",
        "conditions",
    ]


def test_bits_of_the_frame_model_are_by_level(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    (tmp_path / "bits.csv").write_text((out / "bits.csv").read_text().replace("grid ", "level "))
    page = render(read_run_folder(tmp_path))
    assert outline(page).sections == ["rd", "bd", "equal-rate", "cost", "bits", "points", "conditions"]
    assert "no learned windows" in page
    assert "Latent grids are numbered" not in page


def test_parts_come_in_one_order_whatever_file_has_them_first(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    parts = ["level 0", "motion", "frame table", "motion weights", "level 10", "level 2"]
    lines = [f"garden,default,fast,0.001,{part},100" for part in parts]
    (tmp_path / "bits.csv").write_text("\n".join(["clip,profile,preset,quality,part,bits", *lines]))
    keys = re.findall(
        r'<li class="key"><i style="background:([^"]*)"></i>([^<]*)</li>', render(read_run_folder(tmp_path))
    )
    assert [name for _, name in keys] == ["level 0", "level 2", "level 10", "motion", "motion weights", "frame table"]
    assert len({color for color, _ in keys}) == len(keys)


def write_attempts(path: Path, fits: dict[str, list[tuple[str, float]]]) -> None:
    """convergence.csv of one clip of the hybrid model, as pipelines write it: losses by segment."""
    lines = ["clip,profile,preset,quality,segment,patch,stage,step,loss,psnr_db,bpp"]
    for segment, (_, rows) in enumerate(fits.items()):
        lines += [
            f"garden,default,fast,0.001,{segment},0,{stage},{8 * number},{loss},30,{loss}"
            for number, (stage, loss) in enumerate(rows)
        ]
    path.write_text("\n".join(lines))


def test_convergence_of_the_frame_model_is_the_best_loss_by_attempt(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    # While an attempt is under way, older runs repeated the figures of the one before; before the first there are none.
    one = [("plan", 0.0), ("plan", 2.0), ("plan", 2.0), ("plan", 3.0), ("plan", 1.0), ("file", 1.02)]
    other = [("plan", 4.0), ("file", 4.0)]
    write_attempts(tmp_path / "convergence.csv", {"one": one, "other": other})
    section = render(read_run_folder(tmp_path)).partition('<section id="convergence">')[2]
    assert "patches" not in section[: section.index("<svg")]
    chart = ElementTree.fromstring(section[section.index('<svg class="chart') :].partition("</svg>")[0] + "</svg>")
    low, high, start, end, _ = map(float, str(chart.get("data-y")).split())
    line = next(element for element in chart.iter("path") if element.get("data-name") == "rd_weight 0.001")
    ys = [float(pair.split()[1]) for pair in str(line.get("d"))[1:].split("L")]
    values = [low + (y - start) / (end - start) * (high - low) for y in ys]
    # Of the one 0, 0, -50, -49%; the other stays at 0.
    assert values == pytest.approx([0.0, 0.0, -25.0, -24.5], abs=0.1)


def test_fits_of_one_attempt_have_no_convergence(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    write_attempts(tmp_path / "convergence.csv", {"one": [("file", 2.0)]})
    assert "convergence" not in outline(render(read_run_folder(tmp_path))).sections


def test_a_whole_known_set_stands_beside_published_curves(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    for name, codec in (("uvg", "HiNeRV"), ("kodak", "COOL-CHIC")):
        (tmp_path / "run.json").write_text(f'{{"published": "{name}"}}')
        section = render(read_run_folder(tmp_path)).partition('<section id="published">')[2].partition("</section>")[0]
        assert f'data-name="{codec}"' in section
        assert f'<th scope="row">{codec}</th>' in section
    (tmp_path / "run.json").write_text('{"published": ""}')
    assert "published" not in outline(render(read_run_folder(tmp_path))).sections


def test_losses_stand_beside_those_that_are_published(out: Path, tmp_path: Path) -> None:
    assert "Losses beside published ones" not in render(read_run_folder(out))
    run = read_run_folder(make_run_folder(tmp_path / "kodak", {"kodim03": (1, 512, 768), "other": (1, 512, 768)}))
    # By hand, from the table of Cool-Chic 5.0 at 1e-3; no other quality of the run is among its rates.
    point = next(x for x in run.points if x.codec == "c3video" and x.clip == "kodim03" and x.quality == "0.001")
    theirs = published_losses()["kodim03", 1e-3]
    assert theirs == pytest.approx(4.20e-4, rel=2e-3)
    expected = (10.0 ** (-point.psnr_rgb_seq / 10.0) + 1e-3 * point.bpp) / theirs
    assert ratios(run, point.series) == {"kodim03": {1e-3: pytest.approx(expected)}}
    page = render(run)
    assert "Losses beside published ones" in page
    assert f"<td>{expected:.3f}</td>" in page


def test_bd_rates_are_those_of_eval_rd(out: Path, page: str) -> None:
    run = read_run_folder(out)
    curves = [
        [(point.bpp, point.psnr_yuv611 or 0.0) for point in run.points_of("garden", series)]
        for series in (Series("libx264", "", "medium", ""), Series("c3video", "default", "fast", ""))
    ]
    bd = bd_rate(*curves)
    assert bd is not None
    row = re.search(r'<th scope="row">garden</th><td[^>]*>([^<]*)<small>([^<]*)', page)
    assert row is not None
    assert row.groups() == (f"{bd.rate_percent:+.1f}%".replace("-", "−"), f"{100 * bd.overlap:.0f}% overlap")


def test_decibels_at_equal_rate_say_the_rate(out: Path, page: str) -> None:
    run = read_run_folder(out)
    curves = [
        [(point.bpp, point.psnr_yuv611 or 0.0) for point in run.points_of("garden", series)]
        for series in (Series("libx264", "", "medium", ""), Series("c3video", "default", "fast", ""))
    ]
    found = at_equal_rates(*curves)
    assert found is not None
    rate, db = found.middle
    section = page.partition('<section id="equal-rate">')[2].partition("</section>")[0]
    row = re.search(r'<th scope="row">garden</th><td[^>]*>([^<]*)<small>([^<]*)</small><small>([^<]*)', section)
    assert row is not None
    kbps = 12 * 64 * 96 / 0.5 / 1e3  # of 24 frames a second
    assert row.groups() == (
        f"{db:+.2f} dB",
        f"at {rate * kbps:.3g} kb/s",
        f"common: {found.rates[0] * kbps:.3g} to {found.rates[-1] * kbps:.3g}",
    )
    cat = re.search(r'<th scope="row">cat</th><td[^>]*>[^<]*<small>([^<]*)', section)
    assert cat is not None
    assert cat.group(1).endswith(" bpp")  # a still has no seconds


def test_summary_says_where_the_codec_loses(page: str) -> None:
    summary = page[: page.index("<main>")]
    assert re.search(r"Against <b>x264 medium</b> it needs <b>[\d.]+% fewer bits</b> on average", summary)
    assert re.search(
        r"Against <b>x265 medium</b> it needs <b>[\d.]+% more bits</b>[^.]*.*It loses on every one", summary
    )


def test_no_bd_rate_without_overlap(tmp_path: Path) -> None:
    lines = ["clip,codec,profile,preset,tune,quality,num_frames,width,height,size_bytes,bpp,psnr_y"]
    for codec, best in (("c3video", 30.0), ("libx264", 50.0)):
        lines += [
            f"sea,{codec},,fast,,{index},8,64,64,{1000 - index},{0.5 / (index + 1)},{best - index}"
            for index in range(3)
        ]
    (tmp_path / "points.csv").write_text("\n".join(lines))
    assert "BD-rate of" not in render(read_run_folder(tmp_path))


def test_still_images_of_other_planes_are_compared_in_what_they_have(tmp_path: Path) -> None:
    lines = [
        "clip,codec,profile,preset,tune,quality,num_frames,width,height,size_bytes,bpp,psnr_yuv611,psnr_y,psnr_rgb"
    ]
    kinds = {"sea": (8, "{},{},{}"), "gray": (1, ",{},{}"), "cat": (1, ",,{}"), "dog": (1, ",,{}")}
    for clip, (num_frames, psnrs) in kinds.items():
        for codec, factor in (("c3video", 1.1), ("libx264", 1.0)):
            for index in range(3):
                bpp = factor * 0.5 ** (index + 1)
                figures = psnrs.format(*[40.0 - 3 * index] * 3)
                lines.append(f"{clip},{codec},,fast,,{index},{num_frames},64,64,{round(512 * bpp)},{bpp},{figures}")
    (tmp_path / "points.csv").write_text("\n".join(lines))
    page = render(read_run_folder(tmp_path))
    summary = page[: page.index("<main>")]
    assert re.search(r"PSNR 6:1:1:.*compares so on the clips.*PSNR of RGB:.*compares so on the still images", summary)
    assert "no qualities in common" not in summary
    assert 'value="psnr_yuv611" checked' in page
    assert "Not of gray, cat and dog, which have other planes." in page
    means = re.findall(r"mean over still images</th><td[^>]*>([^<]*)<small>([^<]*)", page)
    assert means == [("+10.0%", "3 of 3")]


def test_names_are_escaped(out: Path, tmp_path: Path) -> None:
    text = (out / "points.csv").read_text().replace("harbour", "<b>&amp")
    (tmp_path / "points.csv").write_text(text)
    page = render(read_run_folder(tmp_path))
    outline(page)
    assert "<b>&amp;amp" not in page
    assert "&lt;b&gt;&amp;amp" in page


def test_pictures_past_the_limit_are_left_out_and_counted(out: Path) -> None:
    page = render(read_run_folder(out), picture_mib=0.001)
    assert page.count('"clip": "harbour"') == 1
    assert "1 further comparison would have made the page too heavy" in page


def test_each_encode_has_a_point_in_the_chart_of_its_clip(out: Path) -> None:
    picture = ElementTree.fromstring(rd_picture(read_run_folder(out)))
    points = [element for element in picture.iter() if element.get("class") == "pt" and len(element)]
    assert len(points) == len(CLIPS) * (len(QUALITIES) + 5 * len(CRFS))


def test_chart_places_values_on_its_axes() -> None:
    chart = ElementTree.fromstring(
        line_chart([Line("a", "s0", [(0.1, 30.0), (1.0, 40.0)])], Axis("x", log=True), Axis("y"), title="a chart")
    )
    line = next(element for element in chart.iter("path") if element.get("class") == "line")
    (x0, y0), (x1, y1) = (map(float, pair.split()) for pair in str(line.get("d"))[1:].split("L"))
    assert x0 < x1
    assert y0 > y1
    ticks = {str(text.text): float(str(text.get("x"))) for text in chart.iter("text") if text.get("class") == "tick"}
    assert ticks["0.1"] == pytest.approx(x0, abs=0.2)
    assert ticks["1"] == pytest.approx(x1, abs=0.2)


def test_chart_of_one_point_or_of_equal_values_is_drawn() -> None:
    for points in ([(1.0, 5.0)], [(0.0, 5.0), (3.0, 5.0)]):
        assert "<path" in line_chart([Line("a", "s0", points, marker=0)], Axis("x"), Axis("y", log=True), title="t")
    assert line_chart([], Axis("x"), Axis("y"), title="t") == ""


def test_command_writes_the_page_and_the_picture(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(out), "--html", str(tmp_path / "p.html"), "--rd-picture", str(tmp_path / "rd.svg")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'p.html'}\n"
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    ElementTree.parse(tmp_path / "rd.svg")


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "has no points.csv" in capsys.readouterr().err
    (tmp_path / "points.csv").write_text("clip,codec\nsea,c3video\n")
    assert main([str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "points.csv, line 2" in message
    assert message.count("\n") == 1


def test_bad_number_names_file_and_line(out: Path, tmp_path: Path) -> None:
    shutil.copy(out / "points.csv", tmp_path)
    (tmp_path / "bits.csv").write_text("clip,profile,preset,quality,part,bits\nsea,default,fast,0.1,grid 0,many\n")
    with pytest.raises(SourceError, match=r"bits\.csv, line 2.*many"):
        read_run_folder(tmp_path)


CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(params=[1280, 390])
def browser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Headless Chromium with a window of that width and a profile of its own."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        f"--disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'}"
    ).split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        size = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": request.param < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        yield driver
    finally:
        driver.quit()


@pytest.mark.slow
def test_page_works_in_a_browser(browser: Any, page: str, tmp_path: Path) -> None:
    # Names as long as real ones have pushed the page of a phone to the side.
    page = page.replace("harbour", "harbour_in_the_evening_1920x1080")
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    browser.get((tmp_path / "report.html").as_uri())

    def one(selector: str) -> Any:
        return browser.find_element("css selector", selector)

    def until(happens: Callable[[], bool]) -> None:
        """Pictures are decoded and scrolling ends a little later; then it must hold."""
        deadline = time.monotonic() + 10
        while not happens() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert happens()

    # Not innerWidth: a phone's grows with what sticks out.
    width = browser.execute_script("return document.documentElement.clientWidth")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width

    # Every column of every table can be brought beside the one that stays in place, and the last one to the end.
    hidden = browser.execute_script(
        """
        document.querySelectorAll("details").forEach(details => details.open = true);
        const hidden = [];
        for (const box of document.querySelectorAll(".scroll:has(table)")) {
          if (!box.clientWidth) continue;  // of the other measure of quality
          for (const row of box.querySelectorAll("tr")) {
            const [first, ...others] = row.children;
            for (const cell of others) {
              if (first.offsetWidth + cell.offsetWidth > box.clientWidth) hidden.push(cell.textContent);
            }
          }
          box.scrollLeft = box.scrollWidth;
          const last = box.querySelector("tbody tr").lastElementChild.getBoundingClientRect();
          if (last.right > box.getBoundingClientRect().right + 1) hidden.push(box.ariaLabel);
          box.scrollLeft = 0;
        }
        return hidden;
        """
    )
    assert hidden == []

    # Curves are drawn, with an extent, and in the width of the page.
    for selector in ("#rd", "#frames", "#convergence"):
        box = one(f"{selector} svg.chart path.line").rect
        assert box["width"] > 100, selector
        assert box["height"] > 20, selector
    assert one("#rd svg.chart").rect["width"] <= width

    # The other measure of quality shows other curves and other BD-rates.
    one("input[name=metric][value=psnr_rgb]").click()
    for section in ("rd", "bd"):
        assert one(f"#{section} [data-metric=psnr_rgb]").is_displayed()
        assert not one(f"#{section} [data-metric=psnr_yuv611]").is_displayed()

    # The legend takes a line away and gives it back.
    button, line = one("#rd .legend button"), one("#rd [data-metric=psnr_rgb] svg.chart .k0")
    button.click()
    assert not line.is_displayed()
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert line.is_displayed()

    # The pointer on a point tells its figures.
    point = one("#rd [data-metric=psnr_rgb] .k0 .pt")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    from selenium.webdriver.common.action_chains import ActionChains

    def points_at_it() -> bool:
        ActionChains(browser).move_by_offset(1, 0).move_to_element(point).perform()
        return "bpp" in one("#tip").text

    until(points_at_it)

    # The slider moves the divider, by keyboard and by pointer, and both pictures are there.
    stage, slider = one(".stage"), one(".compare input[type=range]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    for picture in browser.find_elements("css selector", ".stage img"):
        until(lambda picture=picture: int(picture.get_property("naturalWidth")) == 96)  # type: ignore[misc]
    before = one(".stage .handle").rect["x"]
    slider.send_keys("\ue014" * 9)  # arrow right
    until(lambda: one(".stage .handle").rect["x"] > before)
    ActionChains(browser).move_to_element(stage).click_and_hold().move_by_offset(-60, 0).release().perform()
    until(lambda: one(".stage .handle").rect["x"] < before)
    assert float(slider.get_attribute("value")) < 50

    # Another quality is another picture; a clip's frames follow the choice.
    first = one(".stage .over").get_attribute("src")
    browser.execute_script(
        "const s = document.querySelector('select[name=group]'); s.selectedIndex = 1 - s.selectedIndex;"
        "s.dispatchEvent(new Event('change'))"
    )
    assert one(".stage .over").get_attribute("src") != first
    browser.execute_script(
        "const s = document.querySelector('#frames select[name=clip]'); s.value = 'garden';"
        "s.dispatchEvent(new Event('change'))"
    )
    shown = [figure for figure in browser.find_elements("css selector", "[data-of=frames]") if figure.is_displayed()]
    assert [figure.get_attribute("data-clip") for figure in shown] == ["garden"]

    assert browser.get_log("browser") == []
