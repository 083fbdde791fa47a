"""Mirrorgate: an inference gateway built from mitmproxy addons.

A request goes: listener, route, (read the body), split, pick, admit, forward, release. A copy of it may go to
a candidate model, whose answer is compared with production's; the evidence ends in PROMOTE, HOLD or REJECT.

Floors, lowest first; a module imports from below, never up (`pyproject.toml` has the contracts):

0. `errors`
1. `resources` (what was declared), `inference` (requests and completions)
2. `routing`, `scheduling`, `admission`, `comparison`: pure decisions, independent of each other
3. `exchange`, `events`, `records`, `director`: one exchange from its route to its release
4. `proxy`, `shadow`, `sources`, `telemetry`: adapters, the only code that does I/O
5. `wiring`, `cli`, `workers`, `reporting`, `replay`, `testing`: the composition root, the commands, several processes
   as one gateway, what reads afterwards

Floors 0 to 3 are pure: no mitmproxy, asyncio, sockets, files, clocks, randomness or logging; `now` and `rng`
come in as arguments.

Words: *primary* is production's leg, *candidate* the shadow's, *control* the primary asked again; a *mirror*
is the declared filter, the *shadow* our subsystem and its leg; a *permit* is what an admitted request holds.
"""

__version__ = "0.1.0"
