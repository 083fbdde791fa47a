"""Sources: where declared objects and measured loads come from.

What belongs here: the only code that reads manifests (`files`) and model servers' metrics (`loads`, over the
connections of `scrapes`). A source turns the outside world into immutable values: texts with their names, problems,
an `EndpointHealth` for each endpoint. It never raises for what the outside does.

What does not: what the texts mean (`resources`), what the loads are good for (`scheduling`).
"""
