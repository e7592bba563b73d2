# SPDX-License-Identifier: GPL-2.0-only
"""Story: a tornado service asks OpenSSL by ctypes, and never gives its objects back. Not a byte of it
is Python's, nor the library's that calls malloc: the line that called has to be found."""
import asyncio
import ctypes
import ctypes.util
import logging

import tornado.httpclient
import tornado.httpserver
import tornado.netutil
import tornado.web

import story
import target

libssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
for name in ("TLS_method", "SSL_CTX_new", "SSL_new"):
    getattr(libssl, name).restype = ctypes.c_void_p
context = ctypes.c_void_p(libssl.SSL_CTX_new(ctypes.c_void_p(libssl.TLS_method())))
libssl.SSL_free.restype = None


def strongest_cipher():
    connection = ctypes.c_void_p(libssl.SSL_new(context))  # LINE leak
    libssl.SSL_get_cipher_list.restype = ctypes.c_char_p
    return libssl.SSL_get_cipher_list(connection, 0)  # SSL_free(connection) is missing


class Ciphers(tornado.web.RequestHandler):
    def get(self):
        request = int(self.get_argument("request"))
        story.look_up(request)
        story.churn(request)
        self.write(strongest_cipher() if request % 5 == 0 else b"as before")


async def ask(client, port, request):
    url = "http://127.0.0.1:%d/?request=%d" % (port, request)
    return (await client.fetch(url)).body


async def main():
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Ciphers)]))
    server.add_sockets(sockets)
    logging.disable(logging.INFO)
    port, client = sockets[0].getsockname()[1], tornado.httpclient.AsyncHTTPClient()
    await ask(client, port, 0)
    story.begin.clear()
    target.ready()
    for request, ahead in story.requests():
        await asyncio.sleep(ahead)
        await ask(client, port, request)
    target.done()


asyncio.run(main())
