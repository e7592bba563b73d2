# SPDX-License-Identifier: GPL-2.0-only
"""What the stories share: a bounded load, a cache that fills and stops, and churn.

A story is a small service with one mistake. Its requests come PER_SECOND; after the seconds on the
command line it says "enough", and goes on until the next line. The cache grows to several times what
the mistake loses, but in the first quarter only. The line to be found is marked with a comment.
"""
import itertools
import sys
import time

import target

PER_SECOND = 53
PAGES = 997
PAGE_BYTES = 3001

pages = {}
begin = []  # when the first page was looked up


def seconds():
    return float(sys.argv[1]) if len(sys.argv) > 1 else 12.0


def render_page(number):
    return (b"page %d, " % number) * (PAGE_BYTES // 11)


def look_up(request):
    """The decoy: PAGES pages are rendered and kept in the first quarter of the time."""
    begin.append(time.monotonic())
    passed = begin[-1] - begin[0]
    del begin[1:]
    for number in range(len(pages), int(PAGES * min(4 * passed / seconds(), 1)) + 1):
        pages[number] = render_page(number)
    return pages[request % len(pages)]


def churn(request):
    words = ["word %d of request %d" % (number, request) for number in range(101)]
    return len(", ".join(words))


def requests():
    """Numbers of requests, and how long to wait for each; none begins when we are told to end."""
    first, enough = time.monotonic(), False
    for number in itertools.count():
        passed = time.monotonic() - first
        if passed > seconds() and not enough:
            target.say("enough")
            enough = True
        if enough and target.is_told():
            break
        yield number, max(number / PER_SECOND - passed, 0)


def paced():
    for number, ahead in requests():
        time.sleep(ahead)
        look_up(number)
        churn(number)
        yield number
