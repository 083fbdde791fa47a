"""HTTP messages as the data plane holds them: heads, what their names of fields say, and their bytes on the wire.

Pure, but for llhttp and h2: no sockets, no clocks, no mitmproxy objects but where a sketch becomes a flow.
"""
