"""The demo: both tutorials, with their manifests as they are, against real processes on this machine.

`scripts/demo` runs `python -m mirrorgate.testing.demo`. Each tutorial is a module that sends what the tutorial sends,
shows what it promises, and raises `DemoError` when that is not what happens; so the demo is a test as well.

Belongs here: what the demo starts, sends, checks and prints. Does not belong here: anything that a test needs without
the demo, which lies beside this package.
"""
