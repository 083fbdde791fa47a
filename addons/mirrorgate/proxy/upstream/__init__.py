"""Servers: dialing them, the pools of connections to each cluster, and requests over HTTP/1.1 and HTTP/2.

`admission` decides how many there may be; a pool carries out what it says. To an exchange every connection looks alike
(`upstream_side`).
"""
