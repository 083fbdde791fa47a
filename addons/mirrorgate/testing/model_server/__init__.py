"""A fake vLLM: the bodies, errors, metrics and failures of the real one, on command and in no time.

Belongs here: what a client or a gateway can see of a model server, modelled on recordings of vLLM 0.32. Does not
belong here: anything of Mirrorgate's own, its parsers of requests and answers least of all. What tests a gateway must
not share the gateway's mistakes.

`behaviour` and `faults` say what to do, `asks` reads requests, `generation` makes the text, `engine` the load,
`connection` speaks HTTP/1.1, `application` and `delivery` answer, `server` puts them together.
"""
