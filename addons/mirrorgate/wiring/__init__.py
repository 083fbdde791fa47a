"""The composition root: introduces the parts to each other through constructors, and to mitmproxy as an addon.

Here belong options, the order of start and stop, and what the admin server shows. Decisions and protocols do not.
"""
