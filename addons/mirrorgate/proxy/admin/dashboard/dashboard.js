"use strict";
// Everything shown is set as text, never as markup: model names, paths and summaries come from clients and servers.
const byId = (id) => document.getElementById(id);

function make(tag, options, ...children) {
  const node = document.createElement(tag);
  const { text, title, kind } = options || {};
  if (text !== undefined && text !== null) node.textContent = String(text);
  if (title) node.title = title;
  if (kind) node.className = kind;
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function list(value) { return Array.isArray(value) ? value : []; }

function table(target, columns, rows, none) {
  if (!rows.length) { target.replaceChildren(make("tbody", {}, make("tr", {}, make("td", { text: none, kind: "empty" })))); return; }
  const head = make("thead", {}, make("tr", {}, ...columns.map(([name, kind]) => make("th", { text: name, kind }))));
  const body = make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell, i) => {
    const kind = columns[i][1];
    return cell instanceof Node ? make("td", { kind }, cell) : make("td", { text: cell, kind });
  }))));
  target.replaceChildren(head, body);
}

function seconds(value) {
  if (typeof value !== "number") return "–";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return value < 120 ? `${value.toFixed(2)} s` : `${(value / 60).toFixed(1)} min`;
}

function ago(at) {
  if (typeof at !== "number") return "–";
  const passed = Math.max(0, Date.now() / 1000 - at);
  if (passed < 90) return `${passed.toFixed(0)} s`;
  if (passed < 5400) return `${(passed / 60).toFixed(0)} min`;
  return passed < 172800 ? `${(passed / 3600).toFixed(1)} h` : `${(passed / 86400).toFixed(0)} d`;
}

function count(value) { return typeof value === "number" ? value.toLocaleString("en") : "–"; }
function share(value, digits) { return typeof value === "number" ? value.toFixed(digits === undefined ? 2 : digits) : "–"; }

function bar(used, limit, full) {
  const fill = make("i", { kind: full ? "full" : "" });
  fill.style.width = `${limit > 0 ? Math.min(100, (100 * used) / limit) : full ? 100 : 0}%`;
  return make("div", { kind: "bar" }, fill);
}

const opened = new Set();

/** Keeps a <details> open over being drawn again. */
function remembered(key, details) {
  details.open = opened.has(key);
  details.addEventListener("toggle", () => (details.open ? opened.add(key) : opened.delete(key)));
  return details;
}

function drawState(overview) {
  const parts = [];
  if (overview.version) parts.push(`version ${overview.version}`);
  if (typeof overview.started === "number") parts.push(`up ${ago(overview.started)}`);
  if (typeof overview.generation === "number") parts.push(`configuration ${overview.generation}, applied ${ago(overview.applied)} ago`);
  if (overview.problems) parts.push(`the latest configuration was refused: ${overview.problems} problems`);
  if (overview.paused) parts.push("mirroring is paused");
  byId("state").textContent = parts.join(" · ") || "running";
}

function drawSummary(summary) {
  const legs = Object.entries(summary.legs || {});
  table(byId("legs"), [["leg"], ["requests", "n"], ["errors", "n"], ["TTFT p50", "n"], ["p95", "n"], ["per token p50", "n"],
    ["E2E p50", "n"], ["p95", "n"], ["tokens in", "n"], ["out", "n"]],
  legs.map(([name, leg]) => [name, count(leg.requests), count(leg.errors), seconds(leg.ttft.p50), seconds(leg.ttft.p95),
    seconds(leg.time_per_output_token.p50), seconds(leg.duration.p50), seconds(leg.duration.p95),
    count(leg.input_tokens), count(leg.output_tokens)]), "No request yet.");
  table(byId("drops"), [["reason"], ["count", "n"], ["leg"], ["where"], ["cluster", "id"]],
    list(summary.drops).map((drop) => [drop.reason, count(drop.count), drop.leg, drop.at, drop.cluster]), "None.");
  table(byId("replies"), [["reason"], ["count", "n"]],
    Object.entries(summary.local_replies || {}).sort((a, b) => b[1] - a[1]).map(([reason, n]) => [reason, count(n)]), "None.");
}

function endpointRows(endpoints) {
  return list(endpoints).map((endpoint) => {
    const load = endpoint.load || {};
    const healthy = endpoint.healthy !== false;
    return [endpoint.address, endpoint.name || "", make("span", { text: healthy ? "healthy" : "unhealthy",
      kind: `tag ${healthy ? "good" : "bad"}`, title: endpoint.error || "" }), count(endpoint.in_flight), count(load.running),
    count(load.waiting), typeof load.kv_usage === "number" ? `${(100 * load.kv_usage).toFixed(0)} %` : "–", seconds(load.age)];
  });
}

function scores(pick) {
  return list(pick.scores).map((score) => {
    const parts = Object.entries(score.parts || {}).map(([name, value]) => `${name} ${share(value)}`).join(", ");
    return `${score.endpoint} ${share(score.total)}${parts ? ` (${parts})` : ""}`;
  }).join("; ");
}

function drawBreakers(breakers) {
  if (!breakers) return [];
  const counting = breakers.mode === "MetricsOnly";
  const found = make("table", {});
  table(found, [[counting ? "failure breaker (counts only)" : "failure breaker", "id"], ["state"], ["calls in its window", "n"],
    ["failed", "n"], ["slow", "n"], ["opened", "n"], [counting ? "would have refused" : "refused", "n"]],
  [["whole cluster", breakers.cluster || {}], ...Object.entries(breakers.endpoints || {})].map(([name, one]) => {
    const word = String(one.state || "?").replace("_", "-");
    const kind = { closed: "good", "half-open": "warn", "forced-closed": "warn" }[word] || (counting ? "warn" : "bad");
    return [name, make("span", { text: word, kind: `tag ${kind}` }), count(one.calls), `${one.failure_percent}%`, `${one.slow_percent}%`,
      count(one.opened), count(one.refused)];
  }), "");
  return [make("div", { kind: "scroll" }, found)];
}

function drawQueues(queues) {
  return list(queues).map((queue) => make("div", { kind: "limit" }, make("div", { kind: "muted", text: "waiting for the pool" }),
    make("div", { kind: "words" }, make("span", { text: queue.pool }), make("span", { text: `${count(queue.waiting)} requests, ${count(queue.bytes)} bytes` }))));
}

function drawCluster(cluster) {
  const limits = Object.entries(cluster.limits || {}).map(([name, limit]) => make("div", { kind: "limit" },
    make("div", { kind: "words" }, make("span", { text: name }),
      make("span", { text: `${count(limit.used)} of ${limit.limit === null ? "∞" : count(limit.limit)}${limit.open ? " · full" : ""}` })),
    bar(limit.used, limit.limit, limit.open)));
  const endpoints = make("table", {});
  table(endpoints, [["endpoint", "id"], ["pod"], ["state"], ["in flight", "n"], ["running", "n"], ["waiting", "n"],
    ["KV cache", "n"], ["scraped", "n"]], endpointRows(cluster.endpoints), "No endpoint: requests get 503.");
  const picks = make("table", {});
  table(picks, [["when", "n"], ["endpoint", "id"], ["profile"], ["every candidate's score"]],
    list(cluster.picks).map((pick) => [`${ago(pick.at)} ago`, pick.endpoint, pick.profile || "", scores(pick) || pick.reason || ""]), "No pick yet.");
  const more = remembered(`picks ${cluster.name}`,
    make("details", {}, make("summary", { text: "Latest picks" }), make("div", { kind: "scroll" }, picks)));
  return make("div", { kind: "card" }, make("header", {}, make("h3", { text: cluster.name }),
    make("span", { kind: "muted", text: [cluster.kind, ...list(cluster.destinations)].filter(Boolean).join(" · ") })),
  make("div", { kind: "limits" }, ...limits, ...drawQueues(cluster.queues)), make("div", { kind: "scroll" }, endpoints),
  ...drawBreakers(cluster.failure_breaker), more);
}

function drawExchanges(exchanges) {
  const kinds = { same: "good", similar: "good", different: "warn", candidate_failed: "bad", both_failed: "bad", primary_failed: "bad" };
  table(byId("exchanges"), [["when", "n"], ["exchange", "id"], ["cluster", "id"], ["outcome"], ["similarity", "n"], ["summary"]],
    exchanges.map((one) => [`${ago(one.at)} ago`, String(one.id || "").slice(0, 12), one.cluster,
      make("span", { text: one.outcome, kind: `tag ${kinds[one.outcome] || ""}` }), share(one.similarity), one.summary]),
    "Nothing compared yet: a route needs a RequestMirror filter.");
}

function destination(one) {
  const endpoints = Array.isArray(one.endpoints) ? `, ${one.endpoints.length || "no"} endpoint${one.endpoints.length === 1 ? "" : "s"}` : "";
  return `${one.ref || "?"}${one.invalid ? ` (${one.invalid}: 500)` : endpoints}`;
}

function leadsTo(rule) {
  if (!rule) return "";
  if (rule.broken) return `500: ${rule.broken}`;
  const parts = [];
  if (rule.redirect) parts.push(`redirect ${rule.redirect.status || ""}`.trim());
  const backends = list(rule.backends);
  parts.push(...backends.map((one) => `${backends.length > 1 ? `${one.weight} × ` : ""}${destination(one)}`));
  parts.push(...list(rule.mirrors).map((one) => `mirror ${share(100 * one.fraction, 0)} % to ${destination(one)}`));
  return parts.join("; ");
}

function drawRoutes(routes) {
  const rules = new Map(list(routes.rules).map((rule) => [rule.cluster, rule]));
  const listeners = list(routes.listeners);
  byId("routes").replaceChildren(...(listeners.length ? listeners.map((listener) => {
    const head = [listener.gateway, listener.name, listener.protocol, listener.port, listener.hostname].filter(Boolean).join(" · ");
    const rows = make("table", {});
    table(rows, [["match"], ["rule", "id"], ["leads to"]], list(listener.matches).map((match) => [
      [match.hostname, match.method, match.path, ...list(match.headers), ...list(match.query)].filter(Boolean).join(" · "),
      match.rule, leadsTo(rules.get(match.rule))]), "No route is attached.");
    return make("div", { kind: "card" }, make("h3", { text: head }), make("div", { kind: "scroll" }, rows));
  }) : [make("p", { kind: "empty", text: "No listener." })]));
}

