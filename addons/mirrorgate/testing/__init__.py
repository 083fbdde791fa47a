"""What tests and the demo need to run Mirrorgate against: fakes, a client that misbehaves, and real processes.

Belongs here: `model_server`, a fake vLLM; `clients` and `backends`, raw HTTP/1.1 on both sides; `in_loop`, a data
plane in the test's own event loop; `equivalence`, mitmproxy's own mode beside ours; `processes`, programs under test;
`gateways` with its `manifests` and `admin_client`, a gateway under test; `chaos`, what a hostile world does to it;
`left_open`, who leaves a connection open; `demo`. Does not belong here: tests, and anything that production code
imports.
"""
