"""A comparison as one HTML file that needs nothing but itself: the tables, and charts that answer
to the pointer."""

import math
from collections.abc import Callable, Sequence
from html import escape

from reprise.comparing.blocks import Block, Heading, Paragraph, Table
from reprise.comparing.comparison import Comparison, Group, Pair
from reprise.comparing.loss_curves import LossCurve, loss_curve
from reprise.comparing.report import verdict_line
from reprise.comparing.svg_charts import Bar, Line, bar_chart, line_chart
from reprise.runs.files import VOCABULARY
from reprise.runs.records import TEXTS, RunRecord

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
VERDICT_CLASSES = {"better": "better", "worse": "worse", "within noise": "noise"}

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2430; margin: 0 auto; max-width: 1160px;
  padding: 24px 32px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 26px 0 4px; }
p.lead { color: #5a6472; margin: 0 0 20px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
.wide { overflow-x: auto; }
th { text-align: left; color: #5a6472; font-weight: 600; }
th, td { padding: 5px 16px 5px 0; border-bottom: 1px solid #e3e7ec; vertical-align: top;
  white-space: nowrap; }
td.remark { color: #5a6472; white-space: normal; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 200px; }
.verdict { border-left: 5px solid; background: #f6f8fa; padding: 10px 16px; margin: 10px 0; }
.verdict b { font-size: 17px; text-transform: capitalize; }
.better { border-color: #009e73; } .worse { border-color: #d55e00; }
.noise { border-color: #8a94a3; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 6px 0; font-size: 14px; }
.legend i { display: inline-block; width: 22px; height: 4px; margin-right: 7px;
  vertical-align: middle; }
.chart { position: relative; } svg { width: 100%; height: auto; display: block; }
polyline { fill: none; clip-path: url(#inside); }
polyline.strong { stroke-width: 2.2; } polyline.faint { stroke-width: 1; opacity: 0.45; }
.grid { stroke: #e8ebef; } .zero { stroke: #1d2430; } .crosshair { stroke: #8a94a3; }
.crosshair[hidden] { display: none; }
rect.noise { fill: #dfe4ea; } .interval { stroke-width: 5; stroke-linecap: round; }
text { font: 12px system-ui, sans-serif; fill: #5a6472; }
text.name { font-weight: 600; fill: #1d2430; text-anchor: end; font-size: 14px; }
.tip { position: absolute; pointer-events: none; background: #fff; border: 1px solid #c9d0d9;
  border-radius: 4px; padding: 6px 10px; font-size: 12.5px; white-space: nowrap;
  box-shadow: 0 2px 8px #0002; font-variant-numeric: tabular-nums; }
.tip i { display: inline-block; width: 9px; height: 9px; margin-right: 6px; }
"""

# The nearest point of each line to the pointer, in a box beside it.
SCRIPT = """
for (const chart of document.querySelectorAll(".chart")) {
  const data = JSON.parse(chart.querySelector("script").textContent);
  const svg = chart.querySelector("svg"), hair = chart.querySelector(".crosshair");
  const [low, high, start, stop] = data.x;
  const tip = chart.appendChild(document.createElement("div"));
  tip.className = "tip"; tip.hidden = true;
  const show = (number) => number >= 1e5 ? number.toExponential(3) : +number.toPrecision(5);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const place = (event.clientX - box.left) * scale;
    const x = Math.min(high, Math.max(low, low + (place - start) / (stop - start) * (high - low)));
    const at = start + (x - low) / (high - low) * (stop - start);
    hair.setAttribute("x1", at); hair.setAttribute("x2", at); hair.removeAttribute("hidden");
    tip.textContent = `${data.xLabel}: ${show(x)}`;
    for (const line of data.lines) {
      const near = line.points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
      const row = tip.appendChild(document.createElement("div"));
      const mark = row.appendChild(document.createElement("i"));
      mark.style.background = line.colour;
      row.append(`${line.label}: ${near[1].toFixed(4)}`);
    }
    tip.hidden = false;
    const left = at / scale, flip = left > box.width / 2;
    tip.style.left = `${flip ? left - tip.offsetWidth - 12 : left + 12}px`;
    tip.style.top = "16px";
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true; hair.setAttribute("hidden", "");
  });
}
"""


def comparison_page(comparison: Comparison, blocks: Sequence[Block]) -> str:
    names = " against ".join(
        ", ".join(run.name for run in group.runs) for group in comparison.groups
    )
    tables = blocks[_end_of_verdicts(blocks) :]
    body = [
        f"<h1>Runs compared</h1><p class='lead'>{escape(names)}</p>",
        *(_verdict(pair) for pair in comparison.pairs),
        "<h2>Bits a byte on test, against the baseline</h2>",
        _legend(comparison),
        _differences(comparison),
        "<p>Dot: the difference, below 0 is better. Bar: 95% by documents. Shaded: the noise of "
        "text and seeds together, which a dot must leave.</p>",
        *(_block(block) for block in tables),
        "<h2>Loss in training</h2>",
        *_curves(comparison),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(names)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(body)}<script>{SCRIPT}</script></body></html>\n"
    )


def _end_of_verdicts(blocks: Sequence[Block]) -> int:
    headings = [place for place, block in enumerate(blocks) if isinstance(block, Heading)]
    return headings[1]


def _verdict(pair: Pair) -> str:
    kind, line = VERDICT_CLASSES[pair.verdict.word], verdict_line(pair)
    subject, word, rest = line.split(": ", 2)
    return (
        f'<div class="verdict {kind}"><b>{escape(word)}</b> &middot; {escape(subject)}<br>'
        f"{escape(rest)}</div>"
    )


def _differences(comparison: Comparison) -> str:
    bars = []
    for number, pair in enumerate(comparison.pairs, start=1):
        bits = pair.verdict.bits
        low, high = bits.difference, bits.difference
        if bits.of_text is not None:
            low, high = bits.of_text.low, bits.of_text.high
        label = f"{pair.other.letter} \N{MINUS SIGN} {pair.baseline.letter}"
        bars.append(Bar(label, bits.difference, low, high, pair.verdict.margin, _colour(number)))
    return bar_chart(bars, "difference in bits a byte")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _legend(comparison: Comparison) -> str:
    entries = [
        f'<span><i style="background:{_colour(number)}"></i>{group.letter}: '
        f"{escape(', '.join(run.name for run in group.runs))}</span>"
        for number, group in enumerate(comparison.groups)
    ]
    return f'<div class="legend">{"".join(entries)}</div>'


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h2>{escape(block.text)}</h2>"
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    return _table(block)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.names)
    last = len(table.names) - 1
    remarked = not table.names[last]  # a column without a name
    rows = "".join(
        f"<tr>{''.join(_cell(text, remarked and place == last) for place, text in enumerate(row))}"
        "</tr>"
        for row in table.rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _cell(text: str, is_remark: bool) -> str:
    kind = " class=remark" if is_remark else " class=long" if len(text) > 60 else ""
    return f"<td{kind}>{escape(text)}</td>"


def _curves(comparison: Comparison) -> list[str]:
    """Valid and train over tokens, time and operations, as far as all runs have them."""
    runs = [
        (number, group, run)
        for number, group in enumerate(comparison.groups)
        for run in group.runs
        if run.curves
    ]
    curves = [(number, group, run, loss_curve(run)) for number, group, run in runs]
    if not curves:
        return ["<p>No run has metrics/train.csv.</p>"]
    shared = _one_hash([run for _, _, run in runs], VOCABULARY)
    unit = "nats a token" if shared else "bits a byte of valid"
    parts = [_legend(comparison), f"<p>{_explanation(shared)}"]
    if not _one_hash([run for _, _, run in runs], TEXTS["valid"]):
        parts.append(" The valid texts are not known to be the same.")
    parts.append("</p>")
    axes: list[tuple[str, Callable[[LossCurve], list[float] | None]]] = [
        ("tokens trained on", lambda curve: curve.tokens),
        ("seconds of training steps", lambda curve: curve.seconds),
        ("floating-point operations of training", lambda curve: curve.operations),
    ]
    for label, values in axes:
        lines = []
        lacking = [run.name for _, _, run, curve in curves if values(curve) is None]
        if lacking:
            reason = "MLflow has no speeds of" if "seconds" in label else "they are not known for"
            parts.append(f"<p>No chart over {label}: {reason} {escape(', '.join(lacking))}.</p>")
            continue
        for number, group, run, curve in curves:
            scale = 1.0 if shared else _bits_per_nat_a_token(run)
            lines += _lines(group, run, _colour(number), values(curve) or [], curve, scale, shared)
        parts.append(f"<h3>Over {label}</h3>")
        parts.append(line_chart(lines, label, f"loss, {unit}"))
    return parts


def _explanation(shared: bool) -> str:
    if shared:
        return "Strong lines with marks: valid. Faint lines: train, cut off above."
    return (
        "Loss on valid. The vocabularies are not known to be the same, so it is told in bits a "
        "byte, and the loss on train, whose bytes are not recorded, is left out."
    )


def _lines(
    group: Group,
    run: RunRecord,
    colour: str,
    places: list[float],
    curve: LossCurve,
    scale: float,
    with_train: bool,
) -> list[Line]:
    name = group.letter if len(group.runs) == 1 else f"{group.letter}, seed {run.seed}"
    valid = [(x, scale * y) for x, y in zip(places, curve.valid, strict=True) if y is not None]
    train = [(x, scale * y) for x, y in zip(places, curve.train, strict=True) if y is not None]
    lines = [Line(f"{name} valid", colour, valid)] if valid else []
    if with_train and train:
        lines.append(Line(f"{name} train", colour, train, faint=True))
    return lines


def _bits_per_nat_a_token(run: RunRecord) -> float:
    valid = run.figures["valid"]
    return float(valid["tokens"] / valid["bytes"] / math.log(2))


def _one_hash(runs: Sequence[RunRecord], path: str) -> bool:
    return len({run.hashes.get(path) for run in runs}) == 1 and path in runs[0].hashes
