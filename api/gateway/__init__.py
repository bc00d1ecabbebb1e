"""The gateway: the process that holds the WebSockets. Events go out as they happen, commands come in.

``python -m api.gateway``; any number of copies behind any load balancer. One event loop moves frames. Whatever waits
for the database or for Redis does so in a small pool of threads. `docs/reference/websocket.md` has the frames.
"""
