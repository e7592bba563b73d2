# SPDX-License-Identifier: GPL-2.0-only
"""Real programs under load: no losses, and their stacks reach main or the thread start."""
import contextlib
import os
import re
import socket

from harness import (ROOT, Recorder, Report, check, equal, need, reaches_root, run, scratch_dir,
                     seep, share_reaching_root, spawn, wait_until)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_port(port):
    def listens():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    wait_until(listens, "a program that listens on port %d" % port)


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as children:
        return [int(child) for child in children.read().split()]


def check_stacks(report, least_blocks):
    sites = [s for s in report.all_sites if s["class"] == "malloc"]
    blocks = sum(s["alloc_blocks"] for s in sites)
    check(blocks >= least_blocks, "only %d blocks were seen" % blocks)
    share = share_reaching_root(sites)
    broken = sorted((s for s in sites if not reaches_root(s)), key=lambda s: -s["alloc_blocks"])
    check(share > 0.999, "%.3f %% of the blocks have a whole stack; worst: %s" % (
        100 * share, ["%d: %s" % (s["alloc_blocks"],
                                  " <- ".join(f["function"] for f in s["frames"]))
                      for s in broken[:2]]))


def test_redis_server_with_jemalloc():
    server, bench = need("redis-server"), need("redis-benchmark")
    port = free_port()
    redis = spawn([server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
                   "no", "--dir", scratch_dir()], stdout=-3)
    wait_port(port)
    recorder = Recorder("-p", redis.pid)
    result = run([bench, "-p", port, "-n", 5003, "-c", 10, "-r", 1009, "-d", 101, "-q",
                  "-t", "set,get,lpush"])
    equal(result.returncode, 0, "redis-benchmark (%s)" % result.stderr)
    check_stacks(recorder.stop().no_losses(), 2 * 5003)


def test_nginx_under_load():
    server, load = need("/usr/sbin/nginx"), need("wrk")
    where, port = scratch_dir(), free_port()
    os.chmod(where, 0o755)
    with open(where + "/nginx.conf", "w") as file:
        file.write("""
            daemon off; worker_processes 1; user root; pid %s/pid; error_log %s/error.log;
            events { }
            http { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p;
                fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
                server { listen 127.0.0.1:%d; location / { return 200 "hello\\n"; } } }
            """ % ((where,) * 7 + (port,)))
    master = spawn([server, "-p", where, "-c", where + "/nginx.conf"])
    wait_port(port)
    worker = wait_until(lambda: children_of(master.pid), "nginx's worker")[0]
    recorder, requests = Recorder("-p", worker), 0
    while requests < 10007:
        result = run([load, "-t1", "-c8", "-d2s", "http://127.0.0.1:%d/" % port])
        equal(result.returncode, 0, "wrk (%s)" % result.stderr)
        requests += int(re.search(r"(\d+) requests in", result.stdout).group(1))
    report = recorder.stop().no_losses()
    master.terminate()
    master.wait()
    check_stacks(report, 1009)


def test_compiler_and_the_processes_it_starts():
    compiler, path = need("g++"), scratch_dir() + "/gxx.seep"
    source = os.path.join(ROOT, "tests/targets/busy.cc")
    result = seep("record", "-c", "%s -O0 -c %s -o /dev/null" % (compiler, source), "--children",
                  "-i", "500ms", "-o", path, timeout=500)
    equal(result.returncode, 0, "exit status (%s)" % result.stderr)
    report = Report(path).no_losses()
    names = {process["comm"] for process in report.processes}
    check({"cc1plus", "as"} <= names, "processes %r" % names)
    check_stacks(report, 10007)


test_compiler_and_the_processes_it_starts.seconds = 600
