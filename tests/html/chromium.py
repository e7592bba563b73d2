# SPDX-License-Identifier: GPL-2.0-only
"""Drives a headless Chromium through the DevTools protocol, over a pipe: nothing but Python's library.

Messages are JSON ended by a NUL; the browser reads them from its descriptor 3 and writes to 4.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEY_CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27,
             "Backspace": 8, "Home": 36, "End": 35, "PageDown": 34, "PageUp": 33, "Tab": 9}
SHIFT, ALT = 8, 1


class Error(Exception):
    pass


def find():
    """The program, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self, width=1400, height=1000):
        self.folder = tempfile.mkdtemp(prefix="seep-html.")
        self.next_id = 0
        self.buffer = b""
        self.events = []
        to_browser, self.write_fd = os.pipe()
        self.read_fd, from_browser = os.pipe()
        self.process = self._start(to_browser, from_browser, width, height)
        os.close(to_browser)
        os.close(from_browser)

    def _start(self, to_browser, from_browser, width, height):
        # high numbers first: either pipe may be 3 or 4 already
        command = ('exec 8<&%d 9>&%d; exec 3<&8 4>&9 8<&- 9>&-; exec "$@"' % (to_browser, from_browser))
        arguments = [find(), "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
                     "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                     "--hide-scrollbars", "--user-data-dir=" + self.folder,
                     "--window-size=%d,%d" % (width, height), "about:blank"]
        return subprocess.Popen(["bash", "-c", command, "bash"] + arguments, pass_fds=(to_browser, from_browser),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self):
        try:
            self.call("Browser.close")
        except (Error, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self, deadline):
        """The next message, or None at the deadline."""
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.read_fd], [], [], left)[0]:
                return None
            data = os.read(self.read_fd, 1 << 20)
            if not data:
                raise Error("the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, seconds=60, **params):
        self.next_id += 1
        message = {"id": self.next_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self._receive(deadline)
            if answer is None:
                raise Error("%s: no answer in %d s" % (method, seconds))
            if answer.get("id") == self.next_id:
                if "error" in answer:
                    raise Error("%s: %s" % (method, answer["error"]["message"]))
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events:
                if event.get("method") == method:
                    return event
            answer = self._receive(deadline)
            if answer is None:
                raise Error("no %s in %d s" % (method, seconds))
            self.events.append(answer)

    def page(self, path):
        return Page(self, path)


class Page:
    """One file, opened; what it logs, and what it asks the network for, is kept."""

    def __init__(self, browser, path):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.events = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.url = "file://" + os.path.abspath(path)
        self.call("Page.navigate", url=self.url)
        browser.wait_for("Page.loadEventFired")
        # the event may have been that of the empty page before
        self.until("typeof page === 'object' && page.readyMs > 0")

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def run(self, expression):
        """The value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise Error("%s: %s" % (expression, details.get("exception", {}).get("description", details["text"])))
        return result["result"].get("value")

    def settle(self):
        """Until what was asked for is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    def until(self, expression, seconds=60):
        deadline = time.monotonic() + seconds
        while not self.run(expression):
            if time.monotonic() > deadline:
                raise Error("never true: " + expression)
            time.sleep(0.02)

    # ---- what a person does ----

    def key(self, key, modifiers=0):
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        code = KEY_CODES.get(key, ord(key.upper()) if len(key) == 1 else 0)
        shared = {"key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **shared)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)
        self.settle()

    def type(self, text):
        for character in text:
            self.key(character)

    def mouse(self, kind, x, y, clicks=1):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left" if kind != "mouseMoved" else "none",
                  clickCount=clicks, buttons=0 if kind == "mouseReleased" else 1)

    def click_at(self, x, y):
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)
        self.settle()

    def click(self, selector):
        x, y = self.center(selector)
        self.click_at(x, y)

    def center(self, selector):
        return self.run("(() => { const e = document.querySelector(%s); e.scrollIntoView({ block: 'center' });"
                        " const r = e.getBoundingClientRect();"
                        " return [r.left + r.width / 2, r.top + r.height / 2]; })()" % json.dumps(selector))

    def drag(self, x_from, x_to, y):
        self.mouse("mousePressed", x_from, y)
        for step in range(1, 11):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x_from + (x_to - x_from) * step / 10, y=y,
                      button="left", buttons=1)
        self.mouse("mouseReleased", x_to, y)
        self.settle()

    def choose(self, selector, value):
        self.run("(() => { const e = document.querySelector(%s); e.value = %s;"
                 " e.dispatchEvent(new Event('change')); })()" % (json.dumps(selector), json.dumps(value)))
        self.settle()

    # ---- what came of it ----

    def complaints(self):
        """Exceptions, errors and warnings on the console, requests for anything but the file itself."""
        self.run("0")  # what was sent before has arrived
        found = []
        for event in self.browser.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
            elif method == "Runtime.consoleAPICalled":
                found.append("console: %s" % params["args"])
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append("log: " + params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if url != self.url and not url.startswith("data:"):
                    found.append("request: " + url)
        return found

    def screenshot(self, path, full=True):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def pdf(self, path):
        pdf = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(pdf["data"]))

    def dark(self, dark):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.settle()

    def size(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=False)
        self.settle()
