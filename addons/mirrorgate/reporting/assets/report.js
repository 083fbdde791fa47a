"use strict";
// Draws the plots from the data in the page, again when the colour scheme changes.
const shadows = JSON.parse(document.getElementById("data").textContent);
const LEGS = ["primary", "candidate", "control"];

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(["ink", "muted", "line", "card", "accent", "good", "warn", "bad", "primary", "candidate",
    "control", "s1", "s2", "s3", "s4", "s5", "s6"].map((name) => [name, of(name)]));
}

function layout(c, title, x, y) {
  const axis = { gridcolor: c.line, linecolor: c.line, zerolinecolor: c.line, tickfont: { size: 11 }, automargin: true };
  return {
    title: { text: title, font: { size: 13 }, x: 0.02, xanchor: "left", y: 0.97, yanchor: "top" },
    font: { color: c.ink, family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: c.card, plot_bgcolor: c.card, margin: { l: 52, r: 16, t: 40, b: 40 }, hovermode: "closest",
    xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y }, showlegend: true, shapes: [], annotations: [],
    legend: { orientation: "h", x: 0, y: -0.22, yanchor: "top", font: { size: 11 }, bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: { bgcolor: c.card, bordercolor: c.line, font: { color: c.ink } },
  };
}

function level(c, plan, y, text, colour) {
  plan.shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: colour, width: 1, dash: "dash" } });
  plan.annotations.push({ xref: "paper", x: 1, y, text, showarrow: false, xanchor: "right", yanchor: "bottom",
    font: { size: 11, color: colour } });
}

function oddsOf(power) { return power > 6 ? `10<sup>${Math.round(power)}</sup> : 1` : `${Number((10 ** power).toPrecision(3)).toLocaleString("en")} : 1`; }

function evidence(c, shadow, side) {
  const good = side === "promote";
  const threshold = shadow.thresholds[side];
  const shades = [c.s1, c.s2, c.s3, c.s4, c.s5, c.s6];
  const curves = shadow[side];
  const others = curves.filter((curve) => !curve.named);
  const highest = Math.max(threshold, ...curves.flatMap((curve) => curve.values));
  const top = Math.min(highest, threshold * 2.5) + 0.4;
  const step = Math.max(1, Math.ceil(top / 6));
  const ticks = [];
  for (let power = -step; power <= top; power += step) ticks.push(power);
  const plan = layout(c, good ? "Within the margin: all must reach the line" : "Worse than the margin: one that reaches the line rejects",
    { title: { text: "observations", standoff: 4 }, rangemode: "tozero" },
    { range: [-Math.max(1, step), top], tickvals: ticks, ticktext: ticks.map((power) => (power === 0 ? "1" : `10<sup>${power}</sup>`)) });
  level(c, plan, threshold, `${good ? "PROMOTE" : "REJECT"} at ${oddsOf(threshold)}`, good ? c.good : c.bad);
  const traces = curves.map((curve) => ({
    type: "scatter", mode: "lines", x: shadow.pairs, y: curve.values, name: label(curve.names),
    line: { width: curve.named ? 3 : 1.5, color: curve.named ? (good ? c.ink : c.bad) : shades[others.indexOf(curve) % shades.length] },
    text: curve.values.map(oddsOf), hovertemplate: `${plain(curve.names.join(", "))}<br>%{x} observations: %{text}<extra></extra>`,
  }));
  return [traces, plan];
}

// The library reads some markup and %{...} in its texts.
function plain(name) { return name.replace(/[<>&%{}]/g, " "); }

function label(names) { return plain(names.length > 2 ? `${names[0]} and ${names.length - 1} more` : names.join(", ")); }

function focus(c, shadow) {
  const { name, margin, points } = shadow.focus;
  const x = points.map((point) => point[0]);
  const of = (index) => points.map((point) => 100 * point[index]);
  const last = points.length ? points[points.length - 1] : [0, 0, 0, 0];
  const reach = 100 * Math.min(1, Math.max(3 * margin, 1.6 * Math.max(Math.abs(last[2]), Math.abs(last[3]))));
  const plan = layout(c, `${plain(name)}: the difference so far, in points`, { title: { text: "observations", standoff: 4 }, rangemode: "tozero" },
    { range: [-reach, reach], ticksuffix: " pt" });
  level(c, plan, 100 * margin, "margin: worse above", c.bad);
  const none = { type: "scatter", mode: "lines", x, hoverinfo: "skip", showlegend: false, line: { width: 0 } };
  return [[
    { ...none, y: of(2) },
    { ...none, y: of(3), fill: "tonexty", fillcolor: `${c.accent}33`, showlegend: true, name: "95 % interval" },
    { type: "scatter", mode: "lines", x, y: of(1), name: "mean", line: { color: c.accent, width: 2 },
      hovertemplate: "%{x} observations: %{y:.2f} pt<extra></extra>" },
  ], plan];
}

function latency(c, shadow, name) {
  const title = { ttft: "Time to first token", itl: "Between tokens", e2e: "End to end" }[name];
  const times = LEGS.flatMap((leg) => shadow.latency[leg][name].map((point) => point[0])).filter((time) => time > 0);
  // Powers of ten over a long way, 1 - 2 - 5 over a short one.
  const dtick = times.length && Math.max(...times) / Math.min(...times) > 300 ? 1 : "D2";
  const plan = layout(c, title, { type: "log", tickformat: "~s", ticksuffix: "s", dtick }, { range: [0, 101], ticksuffix: " %" });
  const slo = shadow.slo[name];
  if (slo) {
    plan.shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: slo, x1: slo, line: { color: c.bad, width: 1, dash: "dash" } });
    plan.annotations.push({ yref: "paper", y: 1, x: Math.log10(slo), text: "SLO", showarrow: false, xanchor: "left",
      yanchor: "top", font: { size: 11, color: c.bad } });
  }
  const traces = LEGS.filter((leg) => shadow.latency[leg][name].length).map((leg) => ({
    type: "scatter", mode: "lines", name: leg, x: shadow.latency[leg][name].map((point) => point[0]),
    y: shadow.latency[leg][name].map((point) => 100 * point[1]), line: { color: c[leg], width: 2 },
    hovertemplate: `${leg}: %{y:.1f} % within %{x:.3s}s<extra></extra>`,
  }));
  return [traces, plan];
}

function similarity(c, shadow) {
  const bins = shadow.similarity.length;
  const x = shadow.similarity.map((_, index) => (index + 0.5) / bins);
  const shares = (counts) => { const whole = counts.reduce((sum, each) => sum + each, 0); return counts.map((each) => (100 * each) / whole); };
  const has = (counts) => counts.some(Boolean);
  const plan = layout(c, "", { title: { text: "similarity", standoff: 4 }, range: [0, 1.001] }, { ticksuffix: " %", rangemode: "tozero" });
  plan.bargap = 0.06;
  const traces = [];
  if (has(shadow.similarity)) traces.push({ type: "bar", x, y: shares(shadow.similarity), name: "candidate and primary",
    marker: { color: c.candidate }, hovertemplate: "%{y:.1f} % around %{x:.2f}<extra></extra>" });
  if (has(shadow.noise_floor)) traces.push({ type: "scatter", mode: "lines", x, y: shares(shadow.noise_floor),
    name: "control and primary: the noise floor", line: { color: c.control, width: 2, shape: "hvh" },
    hovertemplate: "%{y:.1f} % around %{x:.2f}<extra></extra>" });
  return [traces, plan];
}

const DRAWN = { promote: (c, s) => evidence(c, s, "promote"), reject: (c, s) => evidence(c, s, "reject"), focus, similarity,
  ttft: (c, s) => latency(c, s, "ttft"), itl: (c, s) => latency(c, s, "itl"), e2e: (c, s) => latency(c, s, "e2e") };

function draw() {
  const c = colours();
  for (const place of document.querySelectorAll("[data-plot]")) {
    const [traces, plan] = DRAWN[place.dataset.plot](c, shadows[Number(place.dataset.shadow)]);
    if (!traces.some((trace) => trace.x.length)) {
      place.className = "empty";
      place.textContent = "Not measured.";
      continue;
    }
    Plotly.react(place, traces, plan, { responsive: true, displayModeBar: false });
  }
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
