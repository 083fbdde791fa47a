"""The gateway as a mitmproxy script: `mitmdump -n -s addons/gateway.py`.

mitmproxy imports this file anew whenever it is touched; the addon's instance lives in the package, which is imported
once, so that nothing in flight is lost.
"""

from mirrorgate.wiring.addon import GATEWAY

addons = [GATEWAY]
