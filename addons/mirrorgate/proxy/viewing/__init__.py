"""What a person sees in mitmweb: pairs of flows, primary and shadow, side by side, and the commands about them.

Nothing here is on the way of a request: views are fed from records, within bounds.
"""
