"""What tests and the demo need to run Mirrorgate against: fakes, a client that misbehaves, and real processes.

Belongs here: `model_server`, a fake vLLM; `clients`, a raw HTTP/1.1 client; `processes`, programs under test. Does not
belong here: tests, and anything that production code imports.
"""
