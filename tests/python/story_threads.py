# SPDX-License-Identifier: GPL-2.0-only
"""Story: socketserver.ThreadingMixIn remembers every thread it ever started, to join them at the end
(CPython 3.7, and 3.8 before bpo-37193 was fixed). Where that is mended, a subclass does the same.

Prints "truth stdlib" or "truth subclass": whose list it is.
"""
import socket
import socketserver
import threading

import story
import target


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True


class Remembering(Server):
    def __init__(self, *args):
        super().__init__(*args)
        self.started = []

    def process_request(self, request, client_address):
        thread = threading.Thread(target=self.process_request_thread,
                                  args=(request, client_address))
        self.started.append(thread)
        thread.start()


def ask(address):
    with socket.create_connection(address) as client:
        client.sendall(b"hello\n")
        while client.recv(101):
            pass


def keeps_threads():
    """Does the interpreter's own mixin keep threads that have ended?"""
    server = Server(("127.0.0.1", 0), Echo)
    for _ in range(5):
        thread = threading.Thread(target=ask, args=(server.server_address,))
        thread.start()
        server.handle_request()
        thread.join()
    kept = getattr(server, "_threads", None) or []
    server.server_close()
    return len(list(kept)) == 5


def main():
    stdlib = keeps_threads()
    server = (Server if stdlib else Remembering)(("127.0.0.1", 0), Echo)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    target.ready()
    target.say("truth " + ("stdlib" if stdlib else "subclass"))
    for _ in story.paced():
        ask(server.server_address)
        ask(server.server_address)
    target.done()


main()
