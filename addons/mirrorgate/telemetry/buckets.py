"""Upper bounds of the histograms, in seconds unless their name says otherwise, each with its origin."""

from __future__ import annotations

__all__ = [
    "GEN_AI_DURATION",
    "GEN_AI_TIME_PER_TOKEN",
    "GEN_AI_TOKENS",
    "GEN_AI_TTFT",
    "INFERENCE_DURATION",
    "INFERENCE_INPUT_TOKENS",
    "INFERENCE_OUTPUT_TOKENS",
    "INFERENCE_SIZES",
    "LATENCY",
    "MICRO",
    "MILLISECONDS",
    "SHARE",
]

# fmt: off
LATENCY = (.005, .01, .025, .05, .075, .1, .15, .25, .4, .6, .8, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0,
           45.0, 60.0, 120.0, 300.0, 600.0)
"""Near enough to each other to tell two legs apart, up to ten minutes because completions take that long."""

MICRO = (.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1.0, 5.0)
"""For what the gateway itself does: 10 microseconds to 5 seconds."""

MILLISECONDS = (.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0,
                60000.0, 300000.0, 600000.0, 1800000.0, 3600000.0)
"""Envoy's default histogram buckets, in milliseconds."""

SHARE = (.1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .99, .999)
"""For values from 0 to 1 whose upper end matters."""

GEN_AI_DURATION = (.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""OpenTelemetry GenAI, `gen_ai.server.request.duration`."""

GEN_AI_TTFT = (.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 30.0, 60.0)
"""OpenTelemetry GenAI, `gen_ai.server.time_to_first_token`, continued to 60 as Envoy AI Gateway does."""

GEN_AI_TIME_PER_TOKEN = (.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1.0, 2.5)
"""OpenTelemetry GenAI, `gen_ai.server.time_per_output_token`."""

GEN_AI_TOKENS = tuple(float(4**power) for power in range(14))
"""OpenTelemetry GenAI, `gen_ai.client.token.usage`: powers of 4 from 1 to 67,108,864 tokens."""

INFERENCE_DURATION = (.005, .025, .05, .1, .2, .4, .6, .8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
                      20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0,
                      2700.0, 3600.0)
"""Gateway API Inference Extension, `inference_objective_request_duration_seconds`."""

INFERENCE_INPUT_TOKENS = tuple(float(2**power) for power in range(21))
"""Gateway API Inference Extension: powers of 2 up to 1,048,576 tokens."""

INFERENCE_OUTPUT_TOKENS = tuple(float(2**power) for power in range(14))
"""Gateway API Inference Extension: powers of 2 up to 8,192 tokens."""

INFERENCE_SIZES = tuple(float(2**power) for power in range(6, 31, 2))
"""Bytes, powers of 4 from 64 B to 1 GiB: the extension's range in fewer steps."""
# fmt: on
