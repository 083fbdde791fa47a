"""One exchange on its way through the gateway: from the request's head over hooks, route and server to the release.

`carrier` holds it and ends it; the others are its stages, each with the part of the state that it alone needs. What is
decided comes from `director`, `routing` and `admission`.
"""
