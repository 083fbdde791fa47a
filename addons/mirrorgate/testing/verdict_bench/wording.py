"""What the document says around its tables."""

from __future__ import annotations

__all__ = ["CLOSING", "ERROR_RATES", "FAKE", "FALSE_ALARMS", "OPENING", "PAIRS", "POOLED", "READING", "REAL", "SPEED"]

OPENING = """
# How well the verdict works, measured

This page is written by `scripts/bench_verdict` (seed {seed}); its numbers are kept in `verdict-benchmark.json`.
What the verdict means is in [verdict.md](verdict.md). With the same seed everything comes out the same, save for
what real servers answer and how fast this machine is.

A decision can be wrong in two ways, and a rule that never decides is never wrong. So three things are measured: how
often the verdict is wrong when somebody looks after every single pair, after how many pairs it finds what is wrong
with a candidate, and how many pairs a sound candidate takes. The rules that are in use elsewhere see the same
pairs.
"""

ERROR_RATES = """
## How often it is wrong

Simulated losses, no model. Each run is looked at after every pair, and counts as wrong if the verdict was wrong at
any of those moments. The columns *at most* are the upper ends of exact (Clopper-Pearson) 95 % intervals of the
rates.

- **False REJECT**, promised to be at most 5 %: eleven guardrails decide at once, and the candidate is within the
  margin of each of them. The first three rows are A/A: nothing at all is wrong with the candidate. In the fifth
  and sixth it is *at* every margin, half of the time or always, which is the worst that may not be rejected.
- **False PROMOTE**, promised to be at most 1 %: only one guardrail decides, and the candidate is worse than
  production by *exactly* its margin. With more guardrails a false PROMOTE becomes rarer, since all of them must
  pass. The chances after the name are those of the loss, production's and the candidate's.

What the promise needs is that the candidate's chance of a loss, given everything that came before, is within the
margin at each pair. Drift on both sides keeps to that (second row). Outages do not: while the candidate is down, its
chance of an error is 1. The fourth row has outages of 20 pairs on each side, one time in a hundred and never together
but by chance; an outage of the candidate is a REJECT, even if production has as many on other days.

![False PROMOTE by guardrail](images/verdict-error-rates.svg)
"""

POOLED = """
The {rows} rows with one guardrail together: {wrong} false PROMOTEs in {runs} runs, {rate}. The bound is no estimate: it
is a theorem (Ville's inequality), and it is nearly used up here, since the runs are long and the candidate stays at the
margin for ever. So single rows lie on both sides of it by chance: if each were at exactly 1 %, the highest of {rows}
rows would reach {worst} in {chance} of such benchmarks.
"""

PAIRS = """
## How many pairs one guardrail takes

The cases that were published for a fixed grid of twenty bets (alpha 0.01 to PROMOTE, 0.05 over eight guardrails to
REJECT), with the bets of `comparison/bets.py` on the same kind of traffic: the median of 300 runs, and what nine in
ten runs needed at most.
"""

FAKE = """
## Defects on the fake model server

{requests} requests of a mixed service (chats, tool calls, JSON by a schema, LoRA adapters, stop strings; half at
temperature 0, seven in ten streamed) went to production, to a second replica of it, to three sound candidates and
to one candidate for each defect that the fake model server knows. Production is not perfect: a twelfth of its
answers begin late, one in a thousand fails, and at temperature 0 two replicas disagree on a tenth of the prompts.
Each answer was read and compared as the shadow process does it; times are those of a virtual clock. SLOs: TTFT
{ttft} s, ITL {itl} s, E2E {e2e} s; all other settings are the defaults. The table shows what most of {runs} runs
came to, and the median of pairs until then; a run draws its pairs from those that were measured, and ends after
{most}.

The other rules see {rival_pairs} pairs:

- **Diffy flags**: the share of runs in which Diffy's rule flags a field (more than 20 % relative and 0.03 %
  absolute difference of raw and noise) when one looks just once, after {look} pairs. It asks production twice for
  every pair, as the third column of the verdict does. Diffy does not read event streams; here it gets streamed
  answers as one JSON.
- **Argo Rollouts** and **Flagger**: pairs until roll-back by fixed thresholds on the candidate alone: at least 99 %
  of the answers no 5xx, and a 99th percentile of the duration of at most {slowest} s (production's is 1.2 s),
  checked every 100 pairs; Argo's default ends a rollout with the first failed check, Flagger's examples with the
  fifth.

![Pairs until a decision](images/verdict-races.svg)
"""

READING = """
What the table says:

- Defects of operation (length, tool calls, JSON, latency, errors, broken streams) are found in every mode, most of
  them within a few hundred pairs, and each by the guardrail that is made for it.
- Defects that only change what is said (template, system prompt, temperature, adapter, quantisation) show as
  divergence. They need a control arm, and `equivalence` mode: in `replacement` mode another text is no failure, and
  without a scorer of the user's such a candidate is promoted. PROMOTE then claims no more than it says: operationally
  safe, quality was not scored.
- Two defects are small when counted over all traffic. The wrong adapter answers an eighth of the requests; on a route
  of its own it is found as fast as the others. The coarser quantisation adds hardly more divergence than the margin of
  3 pt allows; with a margin of 1 pt it is found too. A PROMOTE is a statement about the margins, and about the traffic
  that went in.
- Another sound model is no equivalent one, and `equivalence` mode rightly rejects it.
- Fixed thresholds look at statuses and durations, and see the three defects that show there. Diffy's rule flags nearly
  everything, slowness excepted, which it does not look at; but it flags a sound candidate as well, since it has no
  notion of how many differences chance brings.
"""

FALSE_ALARMS = """
The same sound candidate over and over, for how often each rule turns it away:
"""

REAL = """
## Defects on a real model

SmolLM2-135M-Instruct (Q4_1) on llama.cpp, asked over sockets; temperature 0 for half of the {requests} requests and
0.7 for the others, 70 % streamed, 60 % with a system prompt, 15 % for JSON by a schema. Four server processes on
two cores: production (which is also asked again as the control), the same model once more, the same model behind
another model's chat template, and the same model with a KV cache of four bits, which stands for coarser
quantisation. The other defects are induced in the request on its way (system prompt, `max_tokens`, `temperature`
and `response_format` taken away or changed, the end token ignored) or in the answer (every time tripled, 5 %
answers replaced by a 500, 10 % of the streams cut). SmolLM2 makes no tool calls and has no adapters, so two defects
of the catalogue are missing. SLOs are twice what production took in eight warm-up requests: TTFT {ttft} s, ITL
{itl} s, E2E {e2e} s; the fixed threshold of the 99th percentile is {slowest} s.

The {requests} pairs were judged in {runs} orders, each pair once, and the table shows what most orders came to. That
is too few for a PROMOTE, whose minimum is 200 pairs and which takes well over a thousand: HOLD is what a sound
candidate is to get here. It is also too few for Flagger, whose fifth check would come after 500 pairs.

![Pairs until a decision](images/verdict-races-smollm2.svg)
"""

SPEED = """
## How fast pairs are judged

What the worker thread of the shadow process does for a pair: read both answers, compare them, write the record,
feed the evidence. Answers are about 1,000 characters in 170 tokens. The goal is 200 pairs a second; this is CPU time
of one core, with {machine}.
"""

CLOSING = """
## Doing it again

```sh
scripts/bench_verdict                                 # simulations, fake servers, speed; about half an hour on one core
scripts/bench_verdict --model smollm2                 # the real model; downloads 130 MB the first time
scripts/bench_verdict --smoke --output /some/folder   # everything in seconds, with numbers that say nothing
```
"""
