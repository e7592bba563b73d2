# SPDX-License-Identifier: GPL-2.0-only
"""Story: load() extends a list of the module; it was meant to be called once and is called by each
request."""
import story
import target

RATES = []


def table(request):
    return "\n".join("country %d,%d,0.%d" % (row, request, row) for row in range(11))


def load(text):
    for line in text.split("\n"):
        RATES.extend(line.split(","))  # LINE leak


def convert(request):
    load(table(request))
    return RATES[request % 11]


def main():
    target.ready()
    for request in story.paced():
        convert(request)
    target.done()


main()
