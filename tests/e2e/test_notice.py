"""A path that swallows everything, and comes back: how soon each is noticed."""
import json
import time

import pytest

from netns import BlackHole, own_network
from test_suspect import doubt
from util import SLOW, read_text, wait_for


@pytest.fixture(name="net", autouse=True)
def network():
    """Before the servers and daemons of a test are started."""
    with own_network(hard=True):
        yield


def transports(box):
    return json.loads(box.ctl("list", "--json").text)["items"]


def waits_s(begun, seconds):
    wait_for(lambda: time.monotonic() - begun >= seconds, f"{seconds} s", seconds + 20)


def dialling(box):
    wait_for(lambda: transports(box)[-1]["state"] == "dialling", "a new connection", 20)


def test_lost_request(warm):
    """A request was sent into the hole. The next one does not follow it there, and both run soon
    after the path is back; with Linux 6.15 and later over the connection that is there."""
    with BlackHole(warm.sshd.port):
        lost = warm.popen("h", "echo lost")
        wait_for(lambda: "no answer within" in read_text(warm.daemon_log), "doubt and verdict", 20)
        waiting = warm.popen("h", "echo waited")
        dialling(warm)
        waits_s(time.monotonic(), 3)
        assert waiting.poll() is None and lost.poll() is None
    back = time.monotonic()
    out, err = waiting.communicate(timeout=30)
    took = time.monotonic() - back
    assert out == b"waited\n", err
    assert took < 3 * SLOW, took
    out, err = lost.communicate(timeout=30)
    assert out == b"lost\n", err


def test_moved_request(warm):
    """A request for a connection that nobody uses and that is doubted: it is not sent into the
    hole, moves within 2 s, and runs soon after there is a way."""
    with BlackHole(warm.sshd.port):
        doubt(warm)
        begun = time.monotonic()
        client = warm.popen("h", "echo moved")
        dialling(warm)
        took = time.monotonic() - begun
        # The kernel's own SYNs would go out after 1, 3, 7 and 15 s.
        waits_s(begun + took, 8)
        assert client.poll() is None
    back = time.monotonic()
    out, err = client.communicate(timeout=30)
    found = time.monotonic() - back
    assert out == b"moved\n", err
    assert took < 2 * SLOW and found < 3 * SLOW, (took, found)
    assert "path-dead" in read_text(warm.daemon_log)
