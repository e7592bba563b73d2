# SPDX-License-Identifier: GPL-2.0-only
"""The judge's program: workloads.py, once for seep and once for who knows the truth.

usage: judge.py plain          nothing but the work, for seep
       judge.py tracemalloc    prints "truth {file:line: [bytes, blocks]}": what each line keeps
       judge.py count LIBRARY  prints "truth {allocated: N, freed: N, ...}", counted by pycount.c

All modes do the same before and during the work, so that free lists and caches are the same: start
with PYTHONHASHSEED=0. A warm-up fills what is filled once; a collection empties the free lists.
"""
import ctypes
import gc
import json
import sys
import tracemalloc

import target
import workloads

COUNT = 1009


class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in
                ("allocated", "freed", "freed_older", "allocated_bytes", "live", "live_bytes",
                 "lost")]


def lines_kept(snapshot):
    lines = {}
    for trace in snapshot.traces:
        frame = trace.traceback[0]
        entry = lines.setdefault("%s:%d" % (frame.filename, frame.lineno), [0, 0])
        entry[0] += trace.size
        entry[1] += 1
    return lines


def install_counter(path):
    library = ctypes.PyDLL(path)

    def address(function):
        return ctypes.cast(function, ctypes.c_void_p)

    library.pycount_install(address(ctypes.pythonapi.PyMem_GetAllocator),
                            address(ctypes.pythonapi.PyMem_SetAllocator))
    return library


def main():
    mode = sys.argv[1]
    library = install_counter(sys.argv[2]) if mode == "count" else None
    kept = [None] * len(workloads.ALL)
    for count in (17, 307):
        workloads.run(kept, count)
        kept[:] = [None] * len(kept)
    gc.collect()
    gc.disable()
    if library:
        library.pycount_begin()
    target.ready()
    if mode == "tracemalloc":
        tracemalloc.start(1)
    workloads.run(kept, COUNT)
    if mode == "tracemalloc":
        snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
        target.say("truth " + json.dumps(lines_kept(snapshot)))
    if library:
        library.pycount_end()
        counts = Counts()
        library.pycount_read(ctypes.byref(counts))
        target.say("truth " + json.dumps({name: getattr(counts, name)
                                          for name, _ in Counts._fields_}))
    target.done()


main()
