# SPDX-License-Identifier: GPL-2.0-only
"""One allocation per way in which Python code can come to run other code. leaf() keeps a bytearray
and what traceback.extract_stack() says at that very line.

Prints "truth [{case, frames: [[function, file, line], ...] leaf first, blocks, bytes}, ...]", where
the function is what the interpreter calls it: co_qualname where there is one (3.11 on).
"""
import contextlib
import ctypes
import functools
import json
import re
import sys
import threading
import traceback
import types
import weakref

import target

BYTES = 10007


def here():
    """Frames of the caller, leaf first: traceback's, with qualified names where there are any."""
    frame, frames = sys._getframe(1), []
    for summary in traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False):
        code = frame.f_code
        frames.append((getattr(code, "co_qualname", summary.name), summary.filename,
                       summary.lineno))
        frame = frame.f_back
    return frames


def leaf(case):
    case["block"], case["frames"] = bytearray(case["size"]), here()
    return 0


# ---- the ways: each is called with a case, and calls leaf(case) --------------------------------------

def third(case):
    leaf(case)


def second(case):
    third(case)


def nested_calls(case):
    second(case)


def generator(case):
    def produce():
        yield leaf(case)
    for _ in produce():
        pass


def generator_expression(case):
    list(leaf(each) for each in (case,))


def delegated_generator(case):
    def inner():
        yield 1
        leaf(case)
        yield 2

    def outer():
        yield from inner()
    list(outer())


def resumed_generator(case):
    def wait():
        yield
        leaf(case)
    waiting = wait()
    next(waiting)
    list(waiting)


@types.coroutine
def park():
    yield


def coroutine(case):
    async def inner():
        await park()
        leaf(case)

    async def outer():
        await inner()
    running = outer()
    running.send(None)
    with contextlib.suppress(StopIteration):
        running.send(None)


def asynchronous_generator(case):
    async def produce():
        yield leaf(case)

    async def consume():
        async for _ in produce():
            pass
    with contextlib.suppress(StopIteration):
        consume().send(None)


def comprehension(case):
    return [leaf(each) for each in (case,)]


def nested_comprehension(case):
    return {key: [leaf(each) for each in (case,)] for key in (1,)}


def sorted_key(case):
    sorted([1], key=lambda _: leaf(case))


def mapped(case):
    list(map(third, (case,)))


def regular_expression(case):
    re.sub("a", lambda match: "%d" % leaf(case), "a")


def reduced(case):
    functools.reduce(lambda so_far, each: leaf(each), (case,), 0)


def partial(case):
    functools.partial(second, case)()


def cached(case):
    @functools.lru_cache(maxsize=None)
    def compute(number):
        return leaf(case)
    compute(1)


def json_hook(case):
    json.loads("{}", object_hook=lambda _: leaf(case))


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


def ctypes_callback(case):
    CALLBACK(lambda _: leaf(case))(3)


COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def callback_from_libc(case):
    numbers, left = (ctypes.c_int * 2)(2, 1), [case]

    def compare(one, other):
        while left:
            leaf(left.pop())
        return 0
    ctypes.CDLL(None).qsort(numbers, ctypes.c_size_t(2), ctypes.c_size_t(4), COMPARE(compare))


class Thing:
    def __init__(self, case, how):
        self.case = case
        if how == "init":
            leaf(case)

    def __del__(self):
        if self.case.pop("when_deleted", None):
            leaf(self.case)

    def __lt__(self, other):
        leaf(self.case)
        return False

    def __getattr__(self, name):
        if name != "unknown":
            raise AttributeError(name)
        leaf(self.case)

    @property
    def computed(self):
        return leaf(self.case)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        leaf(self.case)

    def __iter__(self):
        yield leaf(self.case)

    @staticmethod
    def static(case):
        leaf(case)

    @classmethod
    def of_class(cls, case):
        cls.static(case)


def constructor(case):
    Thing(case, "init")


def destructor(case):
    case["when_deleted"] = True
    thing = Thing(case, "")
    del thing


def weak_reference(case):
    thing = Thing(case, "")
    reference = weakref.ref(thing, lambda _: leaf(case))
    del thing
    return reference


def comparison(case):
    sorted([Thing(case, ""), Thing(case, "")])


def attribute(case):
    return Thing(case, "").unknown


def property_of_object(case):
    return Thing(case, "").computed


def context_manager(case):
    with Thing(case, ""):
        pass


def generator_context(case):
    @contextlib.contextmanager
    def manage():
        yield
        leaf(case)
    with manage():
        pass


def iteration(case):
    list(Thing(case, ""))


def class_method(case):
    Thing.of_class(case)


def class_body(case):
    class Body:
        value = leaf(case)
    return Body


def metaclass(case):
    class Meta(type):
        def __call__(cls):
            leaf(case)
    Meta("Made", (), {})()


def executed_text(case):
    exec("\n\ndef run(case):\n\n    leaf(case)\nrun(case)", {"leaf": leaf, "case": case})


def evaluated_text(case):
    eval("leaf(case)", {"leaf": leaf, "case": case})


def exception_handler(case):
    try:
        raise ValueError
    except ValueError:
        leaf(case)
    finally:
        pass


def decorated(case):
    def decorator(function):
        @functools.wraps(function)
        def wrapper(*args, **options):
            return function(*args, **options)
        return wrapper

    @decorator
    @decorator
    def inner(each):
        leaf(each)
    inner(case)


def many_lines(case):
    third(
        case
        if case
        else
        None
    )


def thread(case):
    started = threading.Thread(target=nested_calls, args=(case,))
    started.start()
    started.join()


def far_away_lines(case):
    # the line table has to make a step of more than 255 lines: EXEC below
    exec("def run(case):\n%s    leaf(case)\nrun(case)" % ("\n" * 997), {"leaf": leaf, "case": case})


def descend(case, depth):
    if depth:
        descend(case, depth - 1)
    else:
        leaf(case)


def recursion_50(case):
    descend(case, 50)


def recursion_through_c(case, depth=23):
    if depth:
        list(map(lambda each: recursion_through_c(each, depth - 1), (case,)))
    else:
        leaf(case)


def recursion_700(case):
    descend(case, 700)


WAYS = [nested_calls, generator, generator_expression, delegated_generator, resumed_generator,
        coroutine, asynchronous_generator, comprehension, nested_comprehension, sorted_key, mapped,
        regular_expression, reduced, partial, cached, json_hook, ctypes_callback,
        callback_from_libc, constructor, destructor, weak_reference, comparison, attribute,
        property_of_object, context_manager, generator_context, iteration, class_method, class_body,
        metaclass, executed_text, evaluated_text, exception_handler, decorated, many_lines, thread,
        far_away_lines, recursion_50, recursion_through_c, recursion_700]


def main():
    sys.setrecursionlimit(3000)
    for way in WAYS:  # fills free lists, so that the temporary objects come from there
        way({"size": 1})
    done = [{"case": way.__name__, "size": BYTES + 2 * index, "block": None, "frames": None}
            for index, way in enumerate(WAYS)]
    target.ready()
    for way, case in zip(WAYS, done):
        way(case)
    target.say("truth " + json.dumps([
        {"case": case["case"], "frames": case["frames"], "blocks": 2,
         "bytes": sys.getsizeof(case["block"])} for case in done]))
    target.done()


main()
