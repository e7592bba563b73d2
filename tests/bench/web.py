# SPDX-License-Identifier: GPL-2.0-only
"""web.py - what the bench measures of a service: tornado on 127.0.0.1.

Prints its port, then reads commands from standard input, one a line, and answers each with one
line:

    cpu                 -> CPU time so far, ns
    tracemalloc FRAMES  from here on it is traced; 0: no more   -> ok
    drop                what was kept is dropped                -> ok

One answer in 100 stays in memory.
"""
import asyncio
import gc
import itertools
import sys
import time
import tracemalloc

import tornado.httpserver
import tornado.netutil
import tornado.template
import tornado.web

KEPT_ONE_IN = 100
ROWS = [{"name": "product %d" % i, "price": 2.5 * i} for i in range(17)]
PAGE = tornado.template.Template("""<html><body><h1>{{ title }}</h1><table>
{% for row in rows %}<tr><td>{{ row["name"] }}</td><td>{{ row["price"] }}</td></tr>
{% end %}</table></body></html>""")

kept = []
numbers = itertools.count()


class Page(tornado.web.RequestHandler):
    async def get(self):
        number = next(numbers)
        await asyncio.sleep(0)
        page = PAGE.generate(title="Page %d" % number, rows=ROWS)
        if number % KEPT_ONE_IN == 0:
            kept.append(page)
        self.write(page)


def obey(words):
    if words[0] == "cpu":
        return time.process_time_ns()
    if words[0] == "drop":
        kept.clear()
        gc.collect()
        return "ok"
    if tracemalloc.is_tracing():
        tracemalloc.stop()
    if int(words[1]):
        tracemalloc.start(int(words[1]))
    return "ok"


def on_command(stop):
    line = sys.stdin.readline()
    if not line:
        stop.set()
        return
    print(obey(line.split()), flush=True)


async def main():
    stop = asyncio.Event()
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Page)]))
    server.add_sockets(sockets)
    asyncio.get_running_loop().add_reader(sys.stdin, on_command, stop)
    print(sockets[0].getsockname()[1], flush=True)
    await stop.wait()


asyncio.run(main())
