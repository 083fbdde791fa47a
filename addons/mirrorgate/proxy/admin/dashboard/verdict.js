// The verdict of each candidate: `mirrorgate.verdict/v1` documents, drawn as text, tables and small SVG.
const LOSSES = {
  errors: "no usable answer: no connection, a timeout before the first byte, or an error status",
  broken_streams: "an answer that began well and broke off, or ended in an error event",
  truncation: "an answer that was ended by the limit of tokens",
  refusal: "an answer that refuses",
  emptiness: "an answer without text and without a tool call",
  repetition: "an answer that goes in circles",
  tool_calls: "a tool call that does not parse, does not fit its schema, or is missing",
  json_schema: "text that is not the JSON that was asked for",
  ttft_slo: "the first token comes later than the SLO",
  itl_slo: "the mean gap between tokens is longer than the SLO",
  e2e_slo: "the answer takes longer than the SLO",
  divergence: "how much farther the candidate is from the primary than the primary from itself",
};

const MEANINGS = {
  PROMOTE: "Every guardrail is shown to be within its margin. The candidate can take production's traffic.",
  HOLD: "Neither is shown yet: not that the candidate is within every margin, nor that it is beyond one. Mirror on.",
  REJECT: "The guardrail that is named is shown to be beyond its margin. Mend the candidate; a new model starts anew.",
};

const WORDS = ["PROMOTE", "HOLD", "REJECT"];
const REACH = 3; // the drawing shows so many margins to either side of no difference

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

function points(value) {
  if (typeof value !== "number") return "–";
  const shown = (100 * value).toFixed(2);
  return Number(shown) === 0 ? "0 pt" : `${value > 0 ? "+" : "−"}${shown.replace("-", "")} pt`;
}

function percent(value, digits) {
  return typeof value === "number" ? `${(100 * value).toFixed(digits === undefined ? 1 : digits)} %` : "–";
}

function odds(log) {
  if (typeof log !== "number") return "–";
  if (log > Math.log(1e6)) return `10^${(log / Math.LN10).toFixed(0)} : 1`;
  return `${Number(Math.exp(log).toPrecision(log < Math.log(10) ? 2 : 3)).toLocaleString("en")} : 1`;
}

function moment(at) { return typeof at === "number" ? new Date(1000 * at).toLocaleString() : "–"; }

function standingKind(standing) {
  if (!standing.gating) return "idle";
  if (standing.failed) return "bad";
  return standing.passed ? "good" : "warn";
}

function standingWords(standing) {
  if (!standing.gating) return "shown only";
  if (standing.failed) return "fails";
  if (standing.passed) return "passes";
  return typeof standing.pairs_needed === "number" ? `about ${count(standing.pairs_needed)} more` : "at the margin or beyond";
}

function intervalDrawing(standing) {
  const width = 190, height = 22, middle = height / 2;
  const across = (value) => (width * (Math.max(-REACH, Math.min(REACH, value / standing.margin)) + REACH)) / (2 * REACH);
  const low = across(standing.low), high = across(standing.high), margin = across(standing.margin);
  const line = (x1, x2, y1, y2, kind) => svg("line", { x1, x2, y1, y2, class: kind });
  const end = (x, beyond, tip) => (beyond
    ? svg("path", { d: `M${x + tip} ${middle - 4} L${x} ${middle} L${x + tip} ${middle + 4}`, class: "arrow" })
    : line(x, x, middle - 4, middle + 4, "interval"));
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", class: `difference ${standingKind(standing)}` },
    svg("title", {}, `mean ${points(standing.mean)}, interval ${points(standing.low)} to ${points(standing.high)}, margin ${points(standing.margin)}`),
    svg("rect", { x: margin, y: 0, width: width - margin, height, class: "beyond" }),
    line(width / 2, width / 2, 2, height - 2, "zero"), line(margin, margin, 0, height, "margin"),
    line(low, Math.max(high, low + 1), middle, middle, "interval"),
    end(low, standing.low < -REACH * standing.margin, 5), end(high, standing.high > REACH * standing.margin, -5));
  if (typeof standing.mean === "number") drawing.append(svg("circle", { cx: across(standing.mean), cy: middle, r: 3.5, class: "mean" }));
  return drawing;
}

function evidence(side, log, threshold, kind) {
  const fill = make("i", { kind });
  fill.style.width = `${Math.max(0, Math.min(100, (100 * log) / threshold))}%`;
  const needs = log >= threshold ? "" : `, needs ${odds(threshold)}`;
  return make("div", { kind: "evidence" }, make("div", { kind: "bar" }, fill), make("small", { text: `${side} ${odds(log)}${needs}` }));
}

function guardrails(shadow) {
  const rows = list(shadow.standings).map((standing) => [
    make("span", {}, make("b", { text: standing.name }), make("small", { text: LOSSES[standing.name] || "a scorer of yours" })),
    make("span", { text: standingWords(standing), kind: `tag ${standingKind(standing)}` }),
    make("span", {}, points(standing.mean), make("small", { text: `${points(standing.low)} to ${points(standing.high)}` })),
    intervalDrawing(standing), points(standing.margin),
    make("span", {}, evidence("within", standing.log_ni, shadow.promote_at, "good"), evidence("worse", standing.log_rej, shadow.reject_at, "bad")),
  ]);
  const target = make("table", { kind: "guardrails" });
  table(target, [["guardrail", "name"], ["state"], ["difference", "n"], ["better ← 0 → worse"], ["margin", "n"], ["evidence"]], rows,
    "No guardrail is declared.");
  return make("div", { kind: "scroll" }, target);
}

function latencies(shadow) {
  const names = [["ttft", "TTFT"], ["itl", "between tokens"], ["e2e", "end to end"]];
  const rows = names.flatMap(([name, title]) => Object.entries(shadow.latencies || {})
    .filter(([, leg]) => leg[name] && leg[name].count)
    .map(([leg, found]) => [title, make("span", { text: leg, kind: `leg ${leg}` }), count(found[name].count),
      ...["p50", "p90", "p95", "p99"].map((quantile) => seconds(found[name][quantile]))]));
  const target = make("table", {});
  table(target, [["latency"], ["leg"], ["answers", "n"], ["p50", "n"], ["p90", "n"], ["p95", "n"], ["p99", "n"]], rows, "No latency yet.");
  return make("div", { kind: "scroll" }, target);
}

function outcomes(shadow) {
  const counted = Object.entries(shadow.outcomes || {}).sort((a, b) => b[1] - a[1]);
  const whole = counted.reduce((sum, [, number]) => sum + number, 0);
  const coverage = shadow.coverage || {};
  const rows = counted.map(([word, number]) => [word.replaceAll("_", " "), count(number), percent(number / whole)]);
  rows.push(...Object.entries(coverage.reasons || {}).map(([reason, number]) => [`dropped: ${reason.replaceAll("_", " ")}`, count(number), ""]));
  if (coverage.unscored) rows.push(["of them unscored", count(coverage.unscored), ""]);
  rows.push(...Object.entries(shadow.scorer_failures || {}).map(([name, number]) => [`no score from ${name}`, count(number), ""]));
  const target = make("table", {});
  table(target, [["outcome"], ["pairs", "n"], ["share", "n"]], rows, "No pair yet.");
  return make("div", { kind: "scroll" }, target);
}

function facts(shadow) {
  const coverage = shadow.coverage || {};
  const needed = shadow.verdict !== "HOLD" ? "decided"
    : typeof shadow.pairs_needed === "number" ? `about ${count(shadow.pairs_needed)} more` : "more will not do while the difference is at the margin";
  const told = [
    [`${count(shadow.pairs)} observations`, needed],
    [`${percent(coverage.share)} compared`, `of what was mirrored; at least ${percent(coverage.minimum, 0)} for PROMOTE`],
    [`${shadow.mode || "replacement"} mode`, shadow.mode === "equivalence" ? "the same model served anew: divergence decides" : "another model: divergence decides nothing"],
    [shadow.quality ? "quality is scored" : "quality is not scored", shadow.quality ? "" : "PROMOTE means operationally safe; bring a scorer for more"],
    [`wrong in at most ${percent(shadow.alpha_promote, 0)} / ${percent(shadow.alpha_reject, 0)}`, "of PROMOTE / REJECT, however often one looks"],
    [`since ${moment(shadow.since)}`, "a change of models, targets or policy starts anew"],
  ];
  return make("dl", { kind: "facts" }, ...told.map(([what, note]) => make("div", {}, make("dt", { text: what }), make("dd", { text: note }))));
}

function said(side, leg) {
  if (!Array.isArray(side.spans)) return make("p", { kind: "empty", text: "Content is not kept (journal.content of the ShadowPolicy)." });
  const stretches = side.spans.filter(([text]) => text);
  if (!stretches.length) return make("p", { kind: "empty", text: "No text." });
  return make("pre", { kind: leg }, ...stretches.map(([text, differs]) => (differs ? make("mark", { text }) : document.createTextNode(text))));
}

function side(leg, answer) {
  const known = [answer.model, answer.status || answer.outcome, answer.broken, answer.finish_reason && `finish ${answer.finish_reason}`,
    typeof answer.completion_tokens === "number" && `${answer.completion_tokens} tokens`,
    typeof answer.ttft === "number" && `TTFT ${seconds(answer.ttft)}`, typeof answer.e2e === "number" && `E2E ${seconds(answer.e2e)}`];
  return make("div", {}, make("span", { text: leg, kind: `leg ${leg}` }), make("small", { text: known.filter(Boolean).join(" · ") }), said(answer, leg));
}

function worstPair(pair) {
  const alike = typeof pair.similarity === "number" ? ` · similarity ${share(pair.similarity)}` : "";
  const summary = make("summary", {}, make("span", { text: pair.kind, kind: "tag bad", title: LOSSES[pair.kind] || "" }), ` ${pair.summary || pair.outcome} `,
    make("small", { text: `${moment(pair.at)} · ${pair.route} · ${pair.id}${alike}` }));
  const asked = typeof pair.prompt === "string" ? make("pre", { kind: "prompt", text: pair.prompt }) : null;
  return remembered(`pair ${pair.id}`, make("details", { kind: "pair" }, summary, asked,
    make("div", { kind: "sides" }, side("primary", pair.primary || {}), side("candidate", pair.candidate || {}))));
}

function worstPairs(shadow) {
  const pairs = list(shadow.worst);
  if (!pairs.length) return null;
  const kinds = new Set();
  const isFirst = (pair) => !kinds.has(pair.kind) && kinds.add(pair.kind);
  const front = pairs.filter(isFirst);
  const ordered = [...front, ...pairs.filter((pair) => !front.includes(pair))];
  return remembered(`worst ${shadow.cluster}`, make("details", {}, make("summary", { text: `Worst pairs (${pairs.length})` }), ...ordered.map(worstPair)));
}

function subject(compared) {
  const named = (one) => (one && typeof one === "object" ? [one.ref, one.model].filter((name) => typeof name === "string").join(" ") : "");
  const primary = list(compared.primary).map(named).filter(Boolean).join(", ");
  const candidate = named(compared.candidate);
  return primary && candidate ? `${primary} → ${candidate}` : primary || candidate;
}

function drawShadow(shadow, _, all) {
  const word = WORDS.includes(shadow.verdict) ? shadow.verdict : "HOLD";
  const title = make("header", {}, make("span", { text: word, kind: `tag ${{ PROMOTE: "good", HOLD: "warn", REJECT: "bad" }[word]}` }),
    make("h3", { text: shadow.cluster }), make("span", { kind: "muted", text: subject(shadow.subject || {}) }));
  const reason = all.length > 1 ? make("p", { kind: "reason", text: shadow.reason }) : null;
  if (!Array.isArray(shadow.standings)) return make("div", { kind: "card" }, title, reason);
  const explained = remembered(`how ${shadow.cluster}`, make("details", {}, make("summary", { text: "How to read this" }), make("p", { kind: "explain",
    text: "Each guardrail is a loss of 1 or 0 for every answer; what counts is the candidate's minus the primary's over the same requests. "
      + "The dot is the mean so far, the line an interval that holds the true mean at all times at once, the shaded side is worse than the margin. "
      + "Evidence is the gain of a bet against the opposite: at 100 : 1 the chance to be fooled is 1 in 100. "
      + "In conversations the candidate answers the primary's history, so the verdict is about turns." })));
  return make("div", { kind: "card" }, title, reason, make("p", { kind: "explain", text: MEANINGS[word] }), facts(shadow), guardrails(shadow),
    make("div", { kind: "uneven" }, latencies(shadow), outcomes(shadow)), explained, worstPairs(shadow));
}

let drawnVerdict = "";

function drawVerdict(verdict) {
  const word = WORDS.includes(verdict.verdict) ? verdict.verdict : "HOLD";
  byId("verdict").className = `banner ${word.toLowerCase()}`;
  byId("verdict-word").textContent = word;
  byId("verdict-reason").textContent = verdict.reason || "";
  // Drawn again only when something changed: a text that a person selects or scrolls stays as it is.
  const shadows = list(verdict.shadows);
  const now = JSON.stringify(shadows);
  if (now === drawnVerdict) return;
  drawnVerdict = now;
  const none = make("p", { kind: "empty", text: "No evidence yet: a route needs a RequestMirror filter, and some of its requests." });
  byId("shadows").replaceChildren(...(shadows.length ? shadows.map(drawShadow) : [none]));
}
