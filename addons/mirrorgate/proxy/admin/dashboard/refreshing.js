// Asks the gateway and draws what it says, every other second while somebody looks.
async function get(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  const value = await response.json();
  if (!response.ok) throw new Error((value.error && value.error.message) || `${path}: ${response.status}`);
  return value || {};
}

async function draw(path, show) {
  try { show(await get(path)); return ""; } catch (error) { return `${path}: ${error.message}`; }
}

async function refresh() {
  const faults = await Promise.all([
    draw("/overview", (overview) => { drawState(overview); if (overview.summary) drawSummary(overview.summary); }),
    draw("/verdict", drawVerdict),
    draw("/clusters", (value) => byId("clusters").replaceChildren(...list(value.clusters).map(drawCluster))),
    draw("/exchanges", (value) => drawExchanges(list(value.exchanges))),
    draw("/routes", drawRoutes),
  ]);
  const fault = faults.find(Boolean);
  if (fault) byId("state").textContent = `the gateway does not answer: ${fault}`;
  setTimeout(refresh, document.hidden ? 10000 : 2000);
}

refresh();
