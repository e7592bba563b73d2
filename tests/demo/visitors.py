# SPDX-License-Identifier: GPL-2.0-only
"""visitors.py PORT SECONDS - the load of "make demo": about PER_SECOND requests to shop.py.

REGULARS read pages on a connection and session of their own. Every 3rd request is of a new visitor,
who puts something into a basket and never comes back; every 4th pays, and half of the cards are
declined.
"""
import http.client
import random
import sys
import time

PER_SECOND = 100
REGULARS = 8
PRODUCTS = 1900


class Visitor:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.cookie = None

    def get(self, path):
        headers = {"Cookie": self.cookie} if self.cookie else {}
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        answer.read()
        self.cookie = answer.headers.get("Set-Cookie", "").split(";")[0]


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    regulars = [Visitor(port) for _ in range(REGULARS)]
    guest, chance, begin = Visitor(port), random.Random(1009), time.monotonic()
    for number in range(int(seconds * PER_SECOND)):
        regular = regulars[number % REGULARS]
        if number % 3 == 0:
            guest.cookie = None
            guest.get("/basket/%d" % chance.randrange(PRODUCTS))
        elif number % 4 == 0:
            regular.get("/pay/%d%015d" % (chance.choice((4, 5)), number))
        else:
            regular.get("/product/%d" % chance.randrange(PRODUCTS))
        ahead = begin + (number + 1) / PER_SECOND - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -seconds:
            break


main()
