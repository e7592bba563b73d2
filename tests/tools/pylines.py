# SPDX-License-Identifier: GPL-2.0-only
"""pylines.py SECONDS - the line tables of this interpreter's standard library, and the lines that
it finds in them itself, as tests/tools/pylines.c reads them. Runs on 3.6 and later."""
import dis
import os
import sys
import time
import types

MINOR = sys.version_info[1]

# lines far apart, in both directions; offsets far apart; ranges without a line
ODD = (
    "\n" * 104729 + "def far(a):\n    return [a,\n" + "\n" * 331 + "  a.b\n ]\n",
    "def back(a, b):\n    return (a" + "".join(
        "\n" * (i * 37 % 211 + 1) + " + a(b, b[%d], a.c)" % i for i in range(307)) + ")\n",
    "def up(f):\n    f(" + "\n" * 499 + "1,\n" * 7 + ")\n    f(\n\n" + "a.b," * 97 + "\n)\n",
    "def tidy(f):\n    for i in f():\n        try:\n            with f(i) as x, f(x):\n"
    "                yield x\n        except (ValueError,\n" + "\n" * 151 + " KeyError) as e:\n"
    "            if e: continue\n        finally:\n            f(\n\n\ni)\n    else:\n        del f\n",
    "f = lambda: 0\n", "", "pass\n",
    "async def a(b):\n    async with b as c:\n        async for d in c:\n"
    "            await d(\n\n\n[e async for e in d\n if e])\n",
    "class A:\n" + "\n".join("    a%d: int = %d" % (i, i) for i in range(601)) + "\n",
)


def ranges(code):
    if hasattr(code, "co_lines"):
        return [(start, end, line or 0) for start, end, line in code.co_lines() if start < end]
    starts = list(dis.findlinestarts(code)) or [(0, code.co_firstlineno)]
    if starts[0][0]:
        starts.insert(0, (0, code.co_firstlineno))
    ends = [start for start, _ in starts[1:]] + [len(code.co_code)]
    return [(start, end, line) for (start, line), end in zip(starts, ends) if start < end]


def dump(code, path, out):
    table = code.co_linetable if MINOR >= 10 else code.co_lnotab
    out.write("code %d %d %s %s:%s\n" % (MINOR, code.co_firstlineno, table.hex() or "-",
                                         ascii(path)[1:-1], ascii(code.co_name)[1:-1]))
    for start, end, line in ranges(code):
        out.write("range %d %d %d\n" % (start, end, max(line, 0)))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            dump(constant, path, out)


def sources():
    """Files of the library, those that are not its own tests first."""
    library = os.path.dirname(os.__file__)
    found = []
    for directory, children, files in os.walk(library):
        children[:] = sorted(set(children) - {"site-packages", "dist-packages", "bad_coding"})
        found += [os.path.join(directory, name) for name in sorted(files) if name.endswith(".py")]
    return sorted(found, key=lambda path: (os.sep + "test" in path, path))


def main():
    end = time.monotonic() + float(sys.argv[1])
    sys.setrecursionlimit(10007)
    for source in ODD:
        dump(compile(source, "<odd>", "exec"), "<odd>", sys.stdout)
    for path in sources():
        if time.monotonic() > end:
            break
        try:
            with open(path, "rb") as file:
                code = compile(file.read(), path, "exec")
        except (OSError, SyntaxError, ValueError):  # some of its own tests are meant to be wrong
            continue
        dump(code, path, sys.stdout)


main()
