# SPDX-License-Identifier: GPL-2.0-only
"""shop.py - the service of "make demo": a shop on tornado, HTTP on 127.0.0.1. Prints its port.

    GET /product/N   a rendered page, from a cache of CACHE_BYTES
    GET /basket/N    puts product N into the basket of the visitor's session
    GET /pay/CARD    encrypts the card's number with OpenSSL, for the bank

What its memory does, and what a look at RSS cannot tell apart:

    render_product()   a cache that fills to its bound and then stays
    Shop.log           a sawtooth: LOG_LINES lines are kept, then written at once
    tornado            hot churn: requests, headers, answers, gone a moment later
    remember_basket()  the leak in Python: a session that expires is taken out of the table of
                       sessions, but not out of the table of baskets
    encrypt_card()     the leak in C: OpenSSL's context of a card that is declined is not freed
"""
import asyncio
import collections
import ctypes
import ctypes.util
import logging
import sys
import time

import tornado.httpserver
import tornado.netutil
import tornado.web

CACHE_BYTES = 5 << 20
PAGE_BYTES = 12000
LOG_LINES = 700
SESSION_IDLE_S = 1.0

PAGE = """<html><head><title>Product %d</title></head><body>
<h1>Product %d</h1><p>%s</p><p>In your basket: {count}</p></body></html>"""


class Crypto:
    """The few functions of libcrypto that are needed, by ctypes."""

    def __init__(self):
        self.lib = ctypes.CDLL(ctypes.util.find_library("crypto"))
        self.lib.EVP_CIPHER_CTX_new.restype = ctypes.c_void_p
        self.lib.EVP_aes_256_gcm.restype = ctypes.c_void_p
        self.cipher = ctypes.c_void_p(self.lib.EVP_aes_256_gcm())
        self.key, self.nonce = bytes(32), bytes(12)

    def encrypt_card(self, number):
        context = ctypes.c_void_p(self.lib.EVP_CIPHER_CTX_new())
        self.lib.EVP_EncryptInit_ex(context, self.cipher, None, self.key, self.nonce)
        if not number.startswith("4"):
            return None  # declined, and the context is forgotten
        sealed, length = ctypes.create_string_buffer(64), ctypes.c_int()
        self.lib.EVP_EncryptUpdate(context, sealed, ctypes.byref(length), number.encode(),
                                   len(number))
        self.lib.EVP_CIPHER_CTX_free(context)
        return sealed.raw[:length.value].hex()


class Shop:
    def __init__(self, log_path):
        self.crypto = Crypto()
        self.log_path, self.log = log_path, []
        self.pages, self.pages_bytes = {}, 0
        self.sessions = collections.OrderedDict()  # id: time of the last request
        self.baskets = {}
        self.next_id = 1

    def session(self, number):
        """The visitor's, or a new one; those that are idle end."""
        now = time.monotonic()
        while self.sessions and now - next(iter(self.sessions.values())) > SESSION_IDLE_S:
            self.sessions.popitem(last=False)  # and its basket?
        if number not in self.sessions:
            number, self.next_id = self.next_id, self.next_id + 1
        self.sessions[number] = now
        self.sessions.move_to_end(number)
        return number

    def remember_basket(self, session, product):
        text = "product %d, gift wrapping, express delivery, " % product * 23
        self.baskets[session] = self.baskets.get(session, "") + text

    def render_product(self, number):
        words = "property %d of product %d, " % (number % 7, number)
        return PAGE % (number, number, words * (PAGE_BYTES // len(words)))

    def product(self, number):
        page = self.pages.get(number)
        if page is None:
            page = self.render_product(number)
            if self.pages_bytes < CACHE_BYTES:
                self.pages[number] = page
                self.pages_bytes += len(page)
        return page

    def note(self, request, session):
        self.log.append("%.3f %s session=%d\n" % (time.time(), request.uri, session))
        if len(self.log) == LOG_LINES:
            with open(self.log_path, "a") as file:
                file.writelines(self.log)
            self.log = []


class Page(tornado.web.RequestHandler):
    def prepare(self):
        self.shop = self.application.settings["shop"]
        self.number = self.shop.session(int(self.get_cookie("sid", "0")))
        self.set_cookie("sid", str(self.number))
        self.shop.note(self.request, self.number)


class Product(Page):
    def get(self, number):
        count = len(self.shop.baskets.get(self.number, ""))
        self.write(self.shop.product(int(number)).replace("{count}", str(count)))


class Basket(Page):
    def get(self, number):
        self.shop.remember_basket(self.number, int(number))
        self.write({"session": self.number, "added": int(number)})


class Pay(Page):
    def get(self, card):
        sealed = self.shop.crypto.encrypt_card(card)
        self.write({"accepted": sealed is not None})


async def main():
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    application = tornado.web.Application([
        (r"/product/(\d+)", Product), (r"/basket/(\d+)", Basket), (r"/pay/(\d+)", Pay),
    ], shop=Shop(sys.argv[1]))
    tornado.httpserver.HTTPServer(application).add_sockets(sockets)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
