"""Endpoint pickers outside: an InferencePool's own picker is asked over Envoy's external processing protocol.

`grpc_calls` speaks gRPC over HTTP/2, `messages` makes and reads the protocol's messages (the only module that loads
Envoy's protobufs), `consulting` has one request's conversation with a picker, `asking` finds the picker and its
connection. Everything is loaded only with `gateway_endpoint_picker=external`.
"""
