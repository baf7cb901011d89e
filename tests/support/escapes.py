"""Programs that try to escape from the sandbox; each returns SECRET only if it succeeds.

The test fills in {port}, {file}, {folder} and {secret}: the port of a listening server, a file
outside and its folder, and a value of the environment. SECRET is the value that the test expects,
which the program cannot reach.
"""

NETWORK = {
    "tcp": """
import socket
def f():
    socket.create_connection(("127.0.0.1", {port}), 1)
    return SECRET
""",
    "udp": """
import socket
def f():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port}))
    return SECRET
""",
    "unix-socket": """
import socket
def f():
    socket.socket(socket.AF_UNIX).connect("{folder}/socket")
    return SECRET
""",
    "packet-socket": """
import socket
def f():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    return SECRET
""",
}
FILES = {
    "write-outside": """
def f():
    open("{folder}/written", "w").write("x")
    return SECRET
""",
    "overwrite": """
def f():
    open("{file}", "w").write("x")
    return SECRET
""",
    "read-outside": """
def f():
    open("{file}").read()
    return SECRET
""",
    "read-accounts": """
def f():
    open("/etc/passwd").read()
    return SECRET
""",
    "delete": """
import shutil
def f():
    shutil.rmtree("{folder}")
    return SECRET
""",
    "write-library": """
import os
def f():
    open(os.path.join(os.path.dirname(os.__file__), "sitecustomize.py"), "w").write("x")
    return SECRET
""",
    "write-root": """
def f():
    open("/written", "w").write("x")
    return SECRET
""",
    "symlink": """
import os
def f():
    os.symlink("{file}", "link")
    open("link", "a").write("x")
    return SECRET
""",
    "hard-link": """
import os
def f():
    os.link("{file}", "link")
    return SECRET
""",
    "climb-up": """
import os
def f():
    os.chdir("/")
    for _ in range(50):
        os.chdir("..")
    open("." + "{file}").read()
    return SECRET
""",
    "chroot": """
import os
def f():
    os.mkdir("x")
    os.chroot("x")
    return SECRET
""",
    "device": """
import os, stat
def f():
    os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
    return SECRET
""",
    "devices-there": """
import os
def f():
    if set(os.listdir("/dev")) - {{"null", "zero", "urandom"}}:
        return SECRET
""",
    "processes-there": """
import os
def f():
    os.listdir("/proc")
    return SECRET
""",
    "program-file": """
import os
def f():
    open("x", "w").write("#!/bin/sh")
    os.chmod("x", 0o4755)
    os.execv("./x", ["x"])
""",
    "set-user-id": """
import os
def f():
    os.setuid(0)
    return SECRET
""",
}
PROCESSES = {
    "fork": """
import os
def f():
    if os.fork():
        return SECRET
    while True:
        pass
""",
    "fork-bomb": """
import os
def f():
    count = 0
    while count < 3000:
        try:
            if os.fork():
                count += 1
        except MemoryError:
            pass
    return SECRET
""",
    "system": """
import os
def f():
    if os.system("true") == 0:
        return SECRET
""",
    "subprocess": """
import subprocess, sys
def f():
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return SECRET
""",
    "spawn": """
import os, sys
def f():
    os.posix_spawn(sys.executable, ["x"], {{}})
    return SECRET
""",
    "multiprocessing": """
import multiprocessing
def f():
    worker = multiprocessing.get_context("fork").Process(target=print)
    worker.start()
    return SECRET
""",
    "many-threads": """
import threading, time
def f():
    for _ in range(2000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return SECRET
""",
    "kill-parent": """
import os, signal
def f():
    os.kill(os.getppid(), signal.SIGKILL)
    return SECRET
""",
    "kill-all": """
import os, signal
def f():
    os.kill(-1, signal.SIGKILL)
    return SECRET
""",
    "kill-every-number": """
import os, signal
def f():
    done = 0
    for number in range(2, 40000):
        try:
            os.kill(number, signal.SIGKILL)
            done += 1
        except OSError:
            pass
    if done:
        return SECRET
""",
}
CALLS = {
    "ptrace": """
import ctypes
def f():
    if ctypes.CDLL(None).ptrace(16, 2, 0, 0) == 0:
        return SECRET
""",
    "ptrace-me": """
import ctypes
def f():
    if ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0:
        return SECRET
""",
    "mount": """
import ctypes
def f():
    if ctypes.CDLL(None).mount(b"proc", b"/scratch", b"proc", 0, 0) == 0:
        return SECRET
""",
    "make-writable": """
import ctypes
def f():
    if ctypes.CDLL(None).mount(None, b"/", None, 32, 0) == 0:
        return SECRET
""",
    "new-user": """
import ctypes
def f():
    if ctypes.CDLL(None).unshare(0x10000000) == 0:
        return SECRET
""",
    "io-uring": """
import ctypes
def f():
    if ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(200)) >= 0:
        return SECRET
""",
    "bpf": """
import ctypes
def f():
    if ctypes.CDLL(None).syscall(321, 0, ctypes.create_string_buffer(200), 64) >= 0:
        return SECRET
""",
    "keys": """
import ctypes
def f():
    if ctypes.CDLL(None).syscall(250, 0, -3, 1) >= 0:
        return SECRET
""",
    "memory-file": """
import os
def f():
    os.memfd_create("x")
    return SECRET
""",
    "shared-memory": """
import ctypes
def f():
    if ctypes.CDLL(None).shmget(0, 4096, 0o1600) >= 0:
        return SECRET
""",
    "capabilities": """
import ctypes
def f():
    if ctypes.CDLL(None).prctl(23, 21, 0, 0, 0) == 1:
        return SECRET
""",
    "other-call-table": """
import ctypes
def f():
    if ctypes.CDLL(None).syscall(0x40000000 + 57) >= 0:
        return SECRET
""",
    "host-name": """
import socket
def f():
    socket.sethostname("x")
    return SECRET
""",
    "clock": """
import time
def f():
    time.clock_settime(time.CLOCK_REALTIME, 0)
    return SECRET
""",
    "more-of-everything": """
import resource
def f():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
    return SECRET
""",
    "priority": """
import os
def f():
    os.nice(-5)
    return SECRET
""",
}
RESOURCES = {
    "memory": """
def f():
    held = [b"x" * (1 << 28) for _ in range(16)]
    return SECRET
""",
    "memory-map": """
import mmap
def f():
    held = mmap.mmap(-1, 4 << 30)
    return SECRET
""",
    "large-file": """
def f():
    with open("large", "wb") as file:
        for _ in range(64):
            file.write(b"x" * (1 << 20))
    return SECRET
""",
    "many-files": """
def f():
    for number in range(10000):
        open(str(number), "w").close()
    return SECRET
""",
    "many-large-files": """
def f():
    for number in range(16):
        with open(str(number), "wb") as file:
            file.write(b"x" * (4 << 20))
    return SECRET
""",
    "endless-output": """
import os, sys
def f():
    while True:
        print("x" * 10000)
        sys.stderr.write("x" * 10000)
""",
    "endless-answer": """
def f():
    return "x" * (100 << 20)
""",
    "deep-answer": """
def f():
    value = []
    for _ in range(100000):
        value = [value]
    return value
""",
    "many-digits": """
def f():
    return 1 << (1 << 26)
""",
    "deep-recursion": """
import sys
def f():
    sys.setrecursionlimit(1 << 30)
    return f()
""",
    "sleep": """
import time
def f():
    time.sleep(1000)
    return SECRET
""",
    "busy": """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def f():
    while True:
        pass
""",
    "at-load": """
while True:
    pass
""",
}
TEST_RESULT = {
    "exit-at-load": "import sys; sys.exit(0)",
    "exit": "import os\ndef f(): os._exit(0)",
    "system-exit": "def f(): raise SystemExit(0)",
    "interrupt": "def f(): raise KeyboardInterrupt",
    "abort": "import os\ndef f(): os.abort()",
    "closes-the-pipe": "import os\ndef f():\n    os.closerange(0, 1000)\n    return 1",
    "equal-to-all": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __getattr__(self, name): return self
    def __hash__(self): return 0
def f(): return Any()
""",
    "equal-number": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(): return Any(1)
""",
    "no-assertions": """
import builtins
builtins.AssertionError = None
def f(): return 1
""",
    "printed-success": """
import json, os
def f():
    for number in range(64):
        for line in ({{"started": True}}, {{"passed": True}}, {{"value": True}}, {{"value": None}}):
            try:
                os.write(number, json.dumps(line).encode() + b"\\n")
            except OSError:
                pass
    return 1
""",
    "broken-on-purpose": """
import os
def f():
    for number in range(3, 64):
        try:
            os.write(number, b'{{"broken": "so what", "unusable": "no"}}\\n' * 3)
        except OSError:
            pass
    return 1
""",
    "slow-value": """
import os
def f():
    for number in range(3, 64):
        try:
            os.write(number, b'{{"value": ["Fraction", "1e999999999"]}}\\n')
        except OSError:
            pass
""",
    "looks-for-the-tests": """
import gc, inspect, re
def f():
    frames = [frame.frame for frame in inspect.stack()]
    names = [names for each in frames for names in (each.f_locals, each.f_globals)]
    found = [value for each in names for value in each.values()]
    for value in found + gc.get_objects():
        if number := re.search(r"assert candidate\\(\\) == (\\d+)", repr(value)[:100000]):
            return int(number[1])
""",
    "replaces-the-reader": """
import json
json.dumps = lambda *a, **k: '{{"passed": true}}'
json.loads = lambda *a, **k: {{"passed": True}}
def f(): return 1
""",
    "environment": """
import os
def f():
    if any("{secret}" in text for text in os.environ.values()):
        return SECRET
""",
    "environment-in-memory": """
import ctypes
def f():
    environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    place = 0
    while environ[place]:
        if b"KEY" in environ[place]:
            return SECRET
        place += 1
""",
}
ALL = NETWORK | FILES | PROCESSES | CALLS | RESOURCES | TEST_RESULT
