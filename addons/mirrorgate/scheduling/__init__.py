"""Scheduling: which endpoint of a destination serves the next request, and why.

What belongs here: what a model server says of its load (`model_metrics`, `endpoints`), what the gateway itself knows
(`in_flight`, `prefixes`), and the pick: filters drop candidates, weighted scorers rate them, a picker takes one
(`filters`, `scorers`, `pickers`, put together in `profiles`). A pick is a function of a snapshot of views, the
request, the gateway's memory and an `rng`, and explains itself (`picks`).

What does not: fetching metrics (`sources`), limits and ejections (`admission`), which pool a request goes to
(`routing`).

The vocabulary and the default weights are those of the Gateway API Inference Extension's endpoint picker.
"""
