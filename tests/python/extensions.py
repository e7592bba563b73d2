# SPDX-License-Identifier: GPL-2.0-only
"""Memory that C code takes under a Python line. usage: extensions.py WAY [DIRECTORY]

    module   extension.c as a module in DIRECTORY        ctypes   the same file by ctypes
    numpy    arrays: the data by malloc and calloc       sqlite   rows of a database in memory
"""
import ctypes
import sys

import target

way = sys.argv[1]


def keep_in_module(extension):
    for _ in range(211):
        extension.keep(1009)  # LINE module


def keep_object_in_module(extension):
    for _ in range(223):
        extension.keep_object(307)  # LINE object


def keep_by_ctypes(library):
    for _ in range(227):
        library.extension_keep(ctypes.c_size_t(1013))  # LINE ctypes


def make_arrays(numpy, kept):
    for number in range(101):
        kept[number] = numpy.empty(4099)  # LINE empty
    for number in range(101, 204):
        kept[number] = numpy.zeros(5003)  # LINE zeros
    for number in range(204, 311):
        kept[number] = kept[0] + kept[0]  # LINE sum


def fill_database(database):
    for number in range(499):
        database.execute("insert into t values (?, ?)", (number, "x" * 997))  # LINE insert


def main():
    if way == "numpy":
        import numpy
        kept = [None] * 311
        target.ready()
        make_arrays(numpy, kept)
    elif way == "sqlite":
        import sqlite3
        database = sqlite3.connect(":memory:")
        database.execute("create table t (n integer, text text)")
        target.ready()
        fill_database(database)
    elif way == "ctypes":
        library = ctypes.CDLL(sys.argv[2])
        target.ready()
        keep_by_ctypes(library)
    else:
        sys.path.insert(0, sys.argv[2])
        import extension
        target.ready()
        keep_in_module(extension)
        keep_object_in_module(extension)
    target.done()


main()
