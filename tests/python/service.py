# SPDX-License-Identifier: GPL-2.0-only
"""A busy service without a network: THREADS threads that do what services do, over and over.

usage: service.py once [PROCESSES]   a round in each thread; prints "done CHECKSUM"
       service.py loop               rounds until a line comes; prints "done CHECKSUM ROUNDS"

CHECKSUM is that of all results of a round, "differs" if a round ever had another one: work that was
disturbed shows. Also prints "slots ..." when it starts, when the work is done and when it ends: the
functions in the interpreter's allocator tables. With PROCESSES a multiprocessing pool does the rounds, forked after
"ready".
"""
import ctypes
import multiprocessing
import multiprocessing.pool
import multiprocessing.popen_fork
import multiprocessing.queues
import multiprocessing.synchronize
import sys
import threading
import zlib

import target
import workloads

THREADS = 3
COUNT = 211
PARTS = (workloads.strings, workloads.joined_strings, workloads.dicts, workloads.lists_growing,
         workloads.json_documents, workloads.comprehensions, workloads.big_ints,
         workloads.bytes_objects, workloads.byte_arrays, workloads.numbers, workloads.tuples)


class Allocator(ctypes.Structure):  # PyMemAllocatorEx
    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


def slots():
    found, allocator = [], Allocator()
    for domain in range(3):
        ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(allocator))
        found += ["%x" % (getattr(allocator, name) or 0) for name, _ in Allocator._fields_]
    return " ".join(found)


def one_round(_=None):
    checksum = 0
    for part in PARTS:
        checksum = zlib.crc32(repr(part(COUNT)).encode(), checksum)
    checksum = zlib.crc32(repr([list(gen)[-1] for gen in workloads.generators(COUNT)]).encode(),
                          checksum)
    for refused in workloads.exceptions(COUNT):
        checksum = zlib.crc32(str(refused).encode(), checksum)
    return checksum


def rounds(results, stop):
    while True:
        results.append(one_round())
        if stop.is_set():
            return


def in_threads(stop):
    results = [[] for _ in range(THREADS)]
    threads = [threading.Thread(target=rounds, args=(part, stop)) for part in results]
    for thread in threads:
        thread.start()
    return results, threads


def verdict(checksums):
    return "%08x" % checksums[0] if len(set(checksums)) == 1 else "differs"


def main():
    mode, processes = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    stop = threading.Event()
    one_round()
    target.say("slots " + slots())
    if mode == "once":
        target.ready()
        stop.set()
    if processes:
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            results, threads = [pool.map(one_round, range(13), 1)], []
            pool.close()
            pool.join()
    else:
        results, threads = in_threads(stop)
    if mode == "loop":
        target.ready()
        stop.set()
    for thread in threads:
        thread.join()
    target.say("slots " + slots())
    target.done("%s %d" % (verdict(sum(results, [])), sum(len(part) for part in results)))
    target.say("slots " + slots())


main()
