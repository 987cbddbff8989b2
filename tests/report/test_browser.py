"""The report as a browser shows it, from disk, on a phone and on a screen."""

import shutil
import subprocess

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files", "--virtual-time-budget=8000",
]  # fmt: skip

# The report in a frame of a phone's width, tried out, and what was found written into the page.
FRAME = """<body><iframe id="frame" src="{url}" width="{width}" height="800"></iframe><pre></pre>
<script>onload = () => {{
  const page = document.getElementById("frame").contentDocument;
  const found = [];
  const say = (name, value) => found.push(name + "=" + value);
  say("width", page.documentElement.scrollWidth);
  say("hidden", [...page.images].filter((i) => !i.complete || i.naturalWidth === 0).length);
  const table = page.querySelector("#table-1 table");
  const texts = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  const button = table.tHead.querySelector("button");
  button.click();
  button.click();
  say("descending", texts().join(",") === [...texts()].sort().reverse().join(","));
  const box = page.querySelector(".filter input");
  box.value = "nothing has these words";
  box.dispatchEvent(new Event("input"));
  say("filtered", box.closest(".table").querySelectorAll("tbody tr:not([hidden])").length);
  page.querySelector(".enlarge").click();
  say("enlarged", page.getElementById("enlarged").open);
  document.querySelector("pre").textContent = found.join(" ");
}};</script>"""


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium (Debian: chromium) to open the report with")
    return path


@pytest.mark.parametrize("width", [390, 1280])
def test_report_in_a_browser(chromium, report, tmp_path, width):
    page = report("full") / "results" / "report" / "report.html"
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(url=page.as_uri(), width=width))
    done = subprocess.run(
        [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'user'}", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = done.stdout.partition("<pre>")[2].partition("</pre>")[0]
    values = dict(item.split("=") for item in found.split())
    assert int(values.pop("width")) <= width  # no scrolling sideways
    assert values == {"hidden": "0", "descending": "true", "filtered": "0", "enlarged": "true"}
