"""Headless Chromium, spoken to over a pipe in its DevTools protocol: pages as a person's browser shows them."""

import base64
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
         '--disable-background-networking', '--disable-component-update', '--disable-default-apps',
         '--disable-dev-shm-usage', '--hide-scrollbars', '--remote-debugging-pipe')  # fmt: skip
# A program that puts two descriptors where the browser looks for them, and becomes it.
PLACE = '''
import fcntl, os, sys
theirs_in, theirs_out = (fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3])
os.dup2(theirs_in, 3)
os.dup2(theirs_out, 4)
os.execvp(sys.argv[3], sys.argv[3:])
'''


def path() -> str | None:
    """Where this machine has Chromium; None where it has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """Context manager: one browser with one page; everything is asked in turn.

    Attributes:
      requests: URLs of all that the page asked for since `open`, its own first.
      messages: of the page's console, errors of its security policy among them.
    """

    def __init__(self, profile: pathlib.Path):
        self._profile, self._numbers = profile, itertools.count(1)
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._loaded, self._session, self._rest = False, None, b''

    def __enter__(self) -> 'Browser':
        # The browser reads commands from its descriptor 3 and answers on 4.
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [sys.executable, '-c', PLACE, str(theirs_in), str(theirs_out), path(), *FLAGS,
                   f'--user-data-dir={self._profile}', 'about:blank']  # fmt: skip
        quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), **quiet)
        os.close(theirs_in)
        os.close(theirs_out)
        target = self._ask('Target.createTarget', {'url': 'about:blank'})['targetId']
        self._session = self._ask('Target.attachToTarget', {'targetId': target, 'flatten': True})['sessionId']
        for domain in ('Page', 'Network', 'Runtime', 'Log'):
            self._ask(f'{domain}.enable')
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, file: pathlib.Path, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Shows a file, and waits until all of it is loaded."""
        size = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600}
        self._ask('Emulation.setDeviceMetricsOverride', size)
        scheme = [{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}]
        self._ask('Emulation.setEmulatedMedia', {'features': scheme})
        self.requests, self.messages, self._loaded = [], [], False
        self._ask('Page.navigate', {'url': file.resolve().as_uri()})
        while not self._loaded:
            self._take(self._read())

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self._ask('Runtime.evaluate', {'expression': expression, 'returnByValue': True})
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def screenshot(self, file: pathlib.Path, *, whole: bool = False) -> None:
        """Writes what is shown, or the whole page, as PNG."""
        answer = self._ask('Page.captureScreenshot', {'captureBeyondViewport': whole} if whole else {})
        file.write_bytes(base64.b64decode(answer['data']))

    def _ask(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        number = next(self._numbers)
        message = {'id': number, 'method': method, 'params': parameters or {}}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == number:
                assert 'error' not in answer, answer
                return answer['result']
            self._take(answer)

    def _read(self) -> dict[str, Any]:
        while b'\0' not in self._rest:
            more = os.read(self._in, 1 << 20)
            assert more, 'the browser has ended'
            self._rest += more
        message, _, self._rest = self._rest.partition(b'\0')
        return json.loads(message)

    def _take(self, event: dict[str, Any]) -> None:
        method, what = event.get('method'), event.get('params', {})
        if method == 'Network.requestWillBeSent':
            self.requests.append(what['request']['url'])
        elif method == 'Log.entryAdded':
            self.messages.append(what['entry']['text'])
        elif method == 'Runtime.consoleAPICalled':
            self.messages.append(json.dumps(what['args']))
        elif method == 'Page.loadEventFired':
            self._loaded = True
