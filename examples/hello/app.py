"""Says hello from the stage that it runs in, and ends at once when it is told to."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        known = {
            "/": f"Hello from {os.environ.get('GREENROOM_STAGE', 'nowhere')}\n",
            "/health": "ok\n",
        }
        body = known.get(self.path, "not here\n").encode()
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # In a container the port is the one in greenroom.yml; as a process, Greenroom chooses it.
    # A process is for this machine alone; a container has to listen on all of its addresses.
    port = os.environ.get("PORT")
    host = "127.0.0.1" if port else ""
    ThreadingHTTPServer((host, int(port or 8080)), Hello).serve_forever()
