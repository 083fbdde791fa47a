"""Objects from a Kubernetes cluster: list, then watch, as informers do, and the status that goes back.

Here belongs what speaks to the API server. What the objects mean is for `resources` and `routing`, which see the same
objects from files. Whatever the API server does, the last complete configuration goes on serving.
"""
