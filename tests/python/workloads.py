# SPDX-License-Identifier: GPL-2.0-only
"""What judge.py lets Python allocate: all kinds of objects, prime numbers of them, each on lines of
its own. Every function returns what it keeps; nothing depends on time, addresses or hashes of str.

Floats, tuples, lists, dicts and others that die go to free lists and are used again at another line.
From 3.8 on tracemalloc then says the block is that line's (_PyTraceMalloc_NewReference,
Modules/_tracemalloc.c); who watches the allocator sees no call. So what replaces something else here
is of a kind without a free list, and a collection empties the lists between two workloads.

Syntax and modules of CPython 3.6; what came later is left out where it is missing.
"""
import collections
import functools
import gc
import json
import re
import threading
import types
import zlib

try:
    import dataclasses
except ImportError:  # 3.6
    dataclasses = None

WORD = re.compile(r"([a-z]+)-(\d+)")


class Slots:
    __slots__ = ("number", "name")

    def __init__(self, number):
        self.number = number
        self.name = "slots %d" % number


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = "plain"


class Weighted(Plain):
    def __init__(self, number):
        super().__init__(number)
        self.weights = [number, number + 1, number + 2]


if dataclasses:
    @dataclasses.dataclass
    class Point:
        x: int
        y: int
        label: str = "point"


def strings(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = "the string with the number %d" % number
    for number in range(0, count, 7):
        kept[number] = kept[number] + " \u20ac and \U0001d4b3"
    return kept


def joined_strings(count):
    kept = [None] * count
    for number in range(count):
        parts = ["part"] * (number % 97)
        kept[number] = ", ".join(parts)
    return kept


def grown_strings(count):
    kept = [None] * (count // 97 + 1)
    for number in range(len(kept)):
        text = "%d" % number
        for _ in range(97):
            text += " more and more"
        kept[number] = text
    return kept


def dicts(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = {"id": number, "name": "a", "tags": None}
    for entry in kept[::11]:
        for key in range(23):
            entry[key] = key
    return kept


def lists_growing(count):
    kept = [None] * (count // 31 + 1)
    for number in range(len(kept)):
        row = []
        for item in range(number % 211):
            row.append(item)
        kept[number] = row
    return kept


def one_long_list(count):
    kept = []
    for _ in range(count * 7):
        kept.append(None)
    return kept


def slots(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = Slots(number)
    return kept


def plain_objects(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = Plain(number)
    return kept


def subclassed_objects(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = Weighted(number)
    return kept


def data_objects(count):
    kept = [None] * count
    for number in range(count if dataclasses else 0):
        kept[number] = Point(number, number + 1)
    return kept


def json_documents(count):
    text = json.dumps([{"id": i, "names": ["a%d" % i, "b"], "weight": i / 7} for i in range(37)])
    gc.collect()
    kept = [None] * (count // 37 + 1)
    for number in range(len(kept)):
        kept[number] = json.loads(text)
    texts = [None] * 5
    for number in range(len(texts)):
        texts[number] = json.dumps(kept[number % len(kept)])
    return kept, texts


def matches(count):
    text = " ".join("word-%d" % number for number in range(101))
    kept = [None] * (count // 101 + 1)
    for number in range(len(kept)):
        kept[number] = WORD.findall(text)
    found = [None] * (count // 211 + 1)
    for number in range(len(found)):
        found[number] = list(WORD.finditer(text))
    return kept, found, WORD.sub(lambda match: match.group(2) + "!", text)


def comprehensions(count):
    kept = [
        [number * 1009 for number in range(count)],
        {number: str(number) for number in range(count)},
        {number * 3 for number in range(count)},
        tuple("%d" % number for number in range(count)),
    ]
    return kept


def counter(limit):
    so_far = []
    while len(so_far) < limit:
        so_far.append(limit)
        yield so_far


def generators(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = counter(number % 13 + 2)
        next(kept[number])
    return kept


@types.coroutine
def park():
    yield


async def inner(number):
    held = [number, "held"]
    await park()
    return held


async def outer(number):
    result = {"number": number}
    result["inner"] = await inner(number)
    return result


def coroutines(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = outer(number)
        kept[number].send(None)
    return kept


class Refused(Exception):
    def __init__(self, number):
        super().__init__("refused %d" % number)
        self.number = number


def refuse(number):
    raise Refused(number)


def exceptions(count):
    kept = [None] * count
    for number in range(count):
        try:
            refuse(number)
        except Refused as error:
            kept[number] = error
    return kept


def big_ints(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = 3 ** (number % 1009) + number
    return kept


def bytes_objects(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = b"bytes %d of %d" % (number, count)
    for number in range(0, count, 13):
        kept[number] = bytes(number % 2003)
    return kept


def byte_arrays(count):
    kept = [None] * (count // 53 + 1)
    for number in range(len(kept)):
        data = bytearray()
        for _ in range(53):
            data += b"seventeen bytes.."
        kept[number] = data
    return kept


def numbers(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = number / 7
    others = [None] * count
    for number in range(0, count, 3):
        others[number] = complex(number, 1)
    return kept, others


def tuples(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = (number, "a", None)
    return kept


def sets(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = {number, number + 1, number + 2}
    frozen = [None] * count
    for number in range(0, count, 5):
        frozen[number] = frozenset(range(number % 29))
    return kept, frozen


def containers(count):
    kept = [collections.deque(), collections.OrderedDict(), collections.defaultdict(list)]
    for number in range(count):
        kept[0].append(number)
        kept[1][number] = None
        kept[2][number % 101].append(number)
    return kept


def closures(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = lambda: number
    partials = [None] * count
    for number in range(0, count, 3):
        partials[number] = functools.partial(int, number)
    return kept, partials


def bound_methods(count):
    kept = [None] * count
    owner = Plain(0)
    for number in range(count):
        kept[number] = owner.__init__
    return kept


def half_freed(count):
    kept = [None] * count
    for number in range(count):
        kept[number] = "half of these %d go" % number
    for number in range(0, count, 2):
        kept[number] = None
    return kept


def large_blocks(count):
    """Beyond 512 bytes pymalloc passes on to malloc: one block all the same."""
    kept = [None] * (count // 7)
    for number in range(len(kept)):
        kept[number] = bytes(600 + number % 4099)
    return kept


def raw_blocks(count):
    """zlib's state comes from the raw domain."""
    kept = [None] * (count // 307 + 1)
    for number in range(len(kept)):
        kept[number] = zlib.decompressobj()
        kept[number].decompress(zlib.compress(b"raw" * 11))
    return kept


def in_thread(kept, count):
    for number in range(count):
        kept[number] = "in a thread %d" % number
    for number in range(0, count, 3):
        kept[number] = [kept[number], None, None]


def threads(count):
    kept = [[None] * count for _ in range(3)]
    started = [threading.Thread(target=in_thread, args=(part, count)) for part in kept]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return kept


ALL = (strings, joined_strings, grown_strings, dicts, lists_growing, one_long_list, slots,
       plain_objects, subclassed_objects, data_objects, json_documents, matches, comprehensions,
       generators, coroutines, exceptions, big_ints, bytes_objects, byte_arrays, numbers, tuples,
       sets, containers, closures, bound_methods, half_freed, large_blocks, raw_blocks, threads)


def run(kept, count):
    """All of them, into the list 'kept', which has a place for each."""
    for index, workload in enumerate(ALL):
        kept[index] = workload(count)
        gc.collect()
