"""How two answers to one request differ, and what many such pairs prove.

Here belong the comparison of a pair of completions (text, structure, tool calls, schemas, log probabilities,
latencies), the reduction of a pair to bounded losses (guardrails), the evidence that the losses add up to
(e-processes and a confidence sequence), and the verdict: PROMOTE, HOLD or REJECT.

Live comparison, replay and the offline report call the same functions on the same values in the same order, which is
why nothing here knows a clock, a file or a random number of its own. Everything a model or a client wrote is hostile
input: each step is bounded in size, and what cannot be judged within its bound says so.

Not here: where pairs come from (`shadow`), what a body means (`inference`), what is declared (`resources`).
"""
