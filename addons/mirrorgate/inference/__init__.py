"""What inference APIs say: requests read once at the edge, answers assembled from their pieces.

Here belong the shapes of the OpenAI-compatible and Anthropic-compatible APIs: which path is which API, what the
gateway reads from a request, how its model is rewritten, how an event stream or a JSON body becomes a
`Completion`, and the shape of an error. Everything takes bytes that others wrote and is therefore total: malformed
input gives a value that says so, never an exception.

Not here: what to do with a model name (`routing`), how two completions differ (`comparison`), any I/O.
"""
