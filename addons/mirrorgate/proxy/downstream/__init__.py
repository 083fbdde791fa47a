"""Clients: their connections over HTTP/1.1 and HTTP/2, who may come in, who is turned away, and how they leave.

A connection reads heads and hands each to an exchange (`carrying`); it writes what that says and nothing else. What an
overloaded gateway refuses is answered here, before there is an exchange.
"""
