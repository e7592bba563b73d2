# SPDX-License-Identifier: GPL-2.0-only
"""Recordings made for the tests: rows put straight into the tables of src/store/schema.sql.

All numbers are made of primes, so that a right total is not right by luck.
"""
import os
import re
import sqlite3
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MALLOC, PYTHON, MMAP = 0, 1, 2
SECOND = 10**9
MEBI = 1 << 20


def header_number(name):
    with open(os.path.join(ROOT, "src/store/recording_format.h"), encoding="utf-8") as file:
        return int(re.search(r"#define %s\s+(\w+)" % name, file.read()).group(1), 0)


class Recording:
    def __init__(self, path, snapshots, seconds, sample_bytes=1):
        self.path = path
        if os.path.exists(path):
            os.unlink(path)
        self.db = sqlite3.connect(path)
        with open(os.path.join(ROOT, "src/store/schema.sql"), encoding="utf-8") as file:
            self.db.executescript(file.read())
        self.db.execute("PRAGMA application_id = %d" % header_number("APPLICATION_ID"))
        self.db.execute("PRAGMA user_version = %d" % header_number("FORMAT_VERSION"))
        self.texts, self.frames, self.stacks, self.sites = {}, {}, {}, 0
        self.snapshots, self.step_ns = snapshots, seconds * SECOND // (snapshots - 1)
        self.put("recording", id=1, version="0.1.0", kernel="6.18.44", host="alder", sample_bytes=sample_bytes,
                 start_unix_ns=1700000000 * SECOND, interval_ns=self.step_ns, settle_ns=0,
                 duration_ns=seconds * SECOND, ns_per_hit=613.0, hits=1000003, cpu_percent=1.02, complete=1)
        self.epochs = [0, 1, 2, 4, 8, 20, 40]  # seconds; the last two are the marks of service()
        for age, start in enumerate(self.epochs):
            self.put("epoch", age=age, start_ns=start * SECOND)

    def put(self, table, **columns):
        self.db.execute("INSERT INTO %s (%s) VALUES (%s)" % (
            table, ",".join(columns), ",".join("?" * len(columns))), list(columns.values()))

    def text(self, text):
        if text is None:
            return None
        if text not in self.texts:
            self.texts[text] = len(self.texts) + 1
            self.put("text", id=self.texts[text], text=text)
        return self.texts[text]

    def process(self, number, pid, comm, python=None):
        memory = [101 * MEBI] + [0] * 8
        later = [163 * MEBI] + [0] * 8
        self.put("process", id=number, pid=pid, start_time_ns=7919, comm_text=self.text(comm),
                 exe_text=self.text("/usr/bin/" + comm[:9]), python_text=self.text(python),
                 allocator_text=self.text("glibc 2.36"), begin_ns=0, end_ns=self.step_ns * self.snapshots,
                 start_memory=struct.pack("<9Q", *memory), end_memory=struct.pack("<9Q", *later))

    def all_snapshots(self, marked=(), rss=lambda i, process: (101 + 2 * i) * MEBI, processes=1):
        for i in range(self.snapshots):
            self.put("snapshot", id=i, time_ns=i * self.step_ns, events=i * 33331, bpf_ns=i * 20431903,
                     marked=int(i in marked), settling=0)
            for process in range(processes):
                self.put("rss", snapshot=i, process=process, bytes=rss(i, process))

    def frame(self, function, file=None, line=0, module="/usr/bin/leaky", python=False, internal=False):
        key = (function, file, line, module, python, internal)
        if key not in self.frames:
            number = len(self.frames) + 1
            # abi.h: the kind of a frame is in its uppermost bits; of Python: a code object, an instruction
            frame = (2 << 62) - (1 << 64) + (number << 20) if python else (1 << 42) + 0x1000 + 16 * number
            self.frames[key] = frame
            self.put("frame", frame=frame, position=0, function_text=self.text(function), file_text=self.text(file),
                     module_text=None if python else self.text(module), offset=0x1000 + 16 * number,
                     line=line, python=int(python), inlined=0, internal=int(internal))
        return self.frames[key]

    def site(self, process, alloc_class, frames, truncated=False):
        """Leaf first. Returns the number of the site."""
        key = (tuple(frames), truncated)
        if key not in self.stacks:
            self.stacks[key] = len(self.stacks)
            self.put("stack", id=self.stacks[key], frames=struct.pack("<%dq" % len(frames), *frames),
                     truncated=int(truncated), end_reason=0)
        self.put("site", id=self.sites, process=process, stack=self.stacks[key], **{"class": alloc_class})
        self.sites += 1
        return self.sites - 1

    def points(self, site, rows):
        """Rows of (snapshot, blocks allocated, blocks freed, bytes of one); totals so far."""
        self.db.executemany(
            "INSERT INTO point (snapshot, site, alloc_bytes, alloc_blocks, free_bytes, free_blocks, variance)"
            " VALUES (?, ?, ?, ?, ?, ?, 0)",
            ((snapshot, site, blocks * size, blocks, freed * size, freed) for snapshot, blocks, freed, size in rows))

    def ages(self, site, size, rows):
        """Rows of (blocks allocated, blocks freed of them), one for each birth epoch."""
        self.db.executemany(
            "INSERT INTO age (site, age, alloc_bytes, alloc_blocks, free_bytes, free_blocks)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ((site, age, blocks * size, blocks, freed * size, freed) for age, (blocks, freed) in enumerate(rows)))

    def ages_of(self, allocated, freed):
        """Rows for ages(), from blocks allocated as of each snapshot; the oldest are freed first."""
        rows = []
        for start, end in zip(self.epochs, self.epochs[1:] + [10**6]):
            at = [min(self.snapshots - 1, time * SECOND // self.step_ns) for time in (start, end)]
            born = allocated[at[1]] - (allocated[at[0]] if start else 0)
            gone = min(born, freed)
            freed -= gone
            rows.append((born, gone))
        return rows

    def event(self, seconds, kind, text):
        self.put("event", time_ns=seconds * SECOND, kind_text=self.text(kind), text_text=self.text(text))

    def loss(self, key, text, count):
        self.put("loss", key_text=self.text(key), text_text=self.text(text), count=count)

    def close(self):
        self.db.commit()
        self.db.close()


HOSTILE = [
    "</script><script>document.title='owned'</script>", "<img src=x onerror=\"document.title='owned'\">",
    "a;b\nc\td", "\u202egnp.exe\u2066", "line\u2028and\u2029paragraph", "x" * 65000, " ", "{{data}}", "&lt;&amp;",
    "\U0001f4a7\u4e2d\u6587", "]]>-->", "\x01\x7f\x9b",
]


def service(path):
    """Two processes, three classes, Python over C, interpreter frames, marks, events, losses."""
    recording = Recording(path, snapshots=31, seconds=60)
    recording.process(0, 811, "shop", python="3.11.2")
    recording.process(1, 977, "worker", python="3.11.2")
    recording.all_snapshots(marked=(10, 20), processes=2, rss=lambda i, p: (101 - 60 * p + (2 - p) * i) * MEBI)
    native, py = recording.frame, lambda *a: recording.frame(*a, python=True)
    libpython = "/usr/lib/libpython3.11.so.1.0"
    resize = native("list_resize", None, 0, libpython, internal=True)
    evaluate = native("_PyEval_EvalFrameDefault", None, 0, libpython, internal=True)
    dict_resize = native("dictresize", None, 0, libpython, internal=True)
    start = native("_start", None, 0, "/usr/bin/python3.11", internal=True)
    root = [py("<module>", "/srv/shop.py", 97), evaluate, start]
    handle = py("Handler.get", "/srv/shop.py", 17)
    basket = py("Basket.add", "/srv/basket.py", 31)
    sites = [
        # one item, two blocks
        (0, PYTHON, [resize, evaluate, py("Item.__init__", "/srv/basket.py", 7), basket, handle] + root, 29, 2053,
         lambda i: 0),
        (0, PYTHON, [resize, evaluate, py("Item.tag", "/srv/basket.py", 11), basket, handle] + root, 29, 1021,
         lambda i: 0),
        # the same to a person, but for what the interpreter does
        (0, PYTHON, [resize, evaluate, py("remember", "/srv/shop.py", 42), handle] + root, 211, 1031, lambda i: 0),
        (0, PYTHON, [dict_resize, evaluate, py("remember", "/srv/shop.py", 42), handle] + root, 13, 1009, lambda i: 0),
        (0, PYTHON, [resize, evaluate, py("render", "/srv/pages.py", 23), handle] + root, 997, 499,
         lambda i: 997 * (i - i % 8)),
        (0, MALLOC, [native("CRYPTO_zalloc", None, 0, "/usr/lib/libcrypto.so.3"),
                     native("SSL_new", None, 0, "/usr/lib/libssl.so.3"), py("connect", "/srv/net.py", 7)] + root,
         7, 6007, lambda i: 7 * max(0, i - 12)),
        (0, MMAP, [native("pool_grow", "src/pool.c", 71)] + root, 1, 65536, lambda i: 0),
        (1, PYTHON, [resize, evaluate, py("remember", "/srv/shop.py", 42), handle] + root, 101, 1031, lambda i: 0),
        (1, MALLOC, [native("evict", "src/cache.c", 11), native("main", "src/main.c", 5)], 0, 4099, None),
    ]
    for process, cls, frames, each, size, freed in sites:
        site = recording.site(process, cls, frames)
        if freed is None:  # full at the beginning, then emptied
            allocated, gone = [1201] * 31, [37 * i for i in range(31)]
        else:
            allocated, gone = [each * i for i in range(31)], [freed(i) for i in range(31)]
        recording.points(site, [(i, allocated[i], gone[i], size) for i in range(freed is not None, 31)])
        recording.ages(site, size, recording.ages_of(allocated, gone[30]))
    for number, name in enumerate(HOSTILE):
        site = recording.site(0, MALLOC, [recording.frame(name, name, 3), recording.frame("main", "src/main.c", 5)],
                              truncated=number % 2 == 1)
        recording.points(site, [(3, 1, 0, 127 + 2 * number)])
        recording.ages(site, 127 + 2 * number, recording.ages_of([0] * 3 + [1] * 28, 0))
    recording.event(14, "exec", "shop began to run </script>")
    recording.loss("ring_full_stack", "stacks sent late or never: ring buffer full", 3)
    recording.close()


def large(path, site_count=20000, snapshots=100):
    """As many sites as a large service has, each with a point at every snapshot."""
    recording = Recording(path, snapshots=snapshots, seconds=(snapshots - 1) * 10)
    recording.process(0, 811, "large")
    recording.all_snapshots()
    functions = [recording.frame("function_%d" % i, "src/module_%d.c" % (i % 97), i) for i in range(4001)]
    for i in range(site_count):
        frames = [functions[i % 4001], functions[(i * 7) % 3989]]
        number = i
        while number:
            frames.append(functions[(number * 31 + len(frames)) % 997])
            number //= 2
        site = recording.site(0, MALLOC, frames + [functions[5], functions[4], functions[3]])
        each, size = 1 + i % 211, 17 + i % 1009
        kept = i % 10 == 0
        recording.points(site, ((k, each * (k + 1), 0 if kept else each * k, size) for k in range(snapshots)))
    recording.close()
