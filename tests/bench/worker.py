# SPDX-License-Identifier: GPL-2.0-only
"""worker.py - what the bench measures of Python: work on demand.

Reads commands from standard input, one a line, and answers each with one line:

    objects SECONDS     lists, dicts, strings, small objects    -> CPU time of a round, ns
    json SECONDS        asyncio tasks that read and write JSON and keep 1 % of it   -> the same
    stack MIXED PLAIN COUNT   COUNT objects, taken so deep      -> ok
    tracemalloc FRAMES  from here on it is traced; 0: no more   -> ok

SECONDS are of CPU time; what was kept is dropped before the answer.
"""
import asyncio
import gc
import itertools
import json
import sys
import time
import tracemalloc

OBJECTS = 12
TASKS = 4
KEPT_ONE_IN = 100
DOCUMENT = json.dumps({
    "id": 1009, "user": "visitor-31", "tags": ["first", "second", "third"], "total": 1234.5,
    "lines": [{"product": 100003 + i, "name": "product %d" % i, "price": 2.5 * i}
              for i in range(7)]})

kept = []
numbers = itertools.count()


class Point:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Order:
    def __init__(self, name, points):
        self.name = name
        self.points = points


def round_of_objects():
    orders = {}
    for i in range(OBJECTS):
        name = "order " + str(i + 1009)
        orders[name] = Order(name, [Point(i, i + 0.5), Point(-i, [i])])
    return [order.name.upper() for order in orders.values()]


async def handle(number):
    document = json.loads(DOCUMENT)
    await asyncio.sleep(0)
    document["id"] = number
    for line in document["lines"]:
        line["total"] = line["price"] * 7
    answer = json.dumps(document)
    if number % KEPT_ONE_IN == 0:
        kept.append(document)
    return len(answer)


async def round_of_json():
    return await asyncio.gather(*[handle(next(numbers)) for _ in range(TASKS)])


def cpu_ns():
    return time.process_time_ns()


def objects(seconds):
    begin = now = cpu_ns()
    rounds = 0
    while now - begin < seconds * 1e9:
        round_of_objects()
        rounds += 1
        now = cpu_ns()
    return (now - begin) / rounds


async def rounds_of_json(seconds):
    begin = now = cpu_ns()
    rounds = 0
    while now - begin < seconds * 1e9:
        await round_of_json()
        rounds += 1
        now = cpu_ns()
    return (now - begin) / rounds


def take(plain, count):
    """'plain' more frames of Python, executed by the native frame of the caller's."""
    if plain:
        return take(plain - 1, count)
    for _ in itertools.repeat(None, count):
        object()
    return 0


def descend(mixed, plain, count):
    """C frames between those of Python, as under callbacks."""
    if not mixed:
        return take(plain, count)
    if mixed % 2:
        return descend(mixed - 1, plain, count)
    return sum(map(lambda less: descend(less, plain, count), (mixed - 1,)))


def trace(frames):
    if tracemalloc.is_tracing():
        tracemalloc.stop()
    if frames:
        tracemalloc.start(frames)


def obey(loop, words):
    if words[0] == "objects":
        return objects(float(words[1]))
    if words[0] == "json":
        return loop.run_until_complete(rounds_of_json(float(words[1])))
    if words[0] == "stack":
        descend(*map(int, words[1:]))
    else:
        trace(int(words[1]))
    return "ok"


def main():
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        answer = obey(loop, line.split())
        kept.clear()
        gc.collect()
        print(answer, flush=True)


main()
