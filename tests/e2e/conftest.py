"""Fixtures, failure logs, the list of allowed skips, and a deadline for every test."""
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from daemon import ORACLE, Box  # noqa: E402
from faults import FaultProxy  # noqa: E402
from forwarding import Server, echo  # noqa: E402
from netns import own_network  # noqa: E402
from sshd import Account, Keys  # noqa: E402
from toolbox import Tools  # noqa: E402
from util import SLOW  # noqa: E402

HERE = pathlib.Path(__file__).parent
TEST_SECONDS = 150


def _interrupted(_signal, _frame):
    raise KeyboardInterrupt


def pytest_configure(config):
    signal.signal(signal.SIGTERM, _interrupted)  # fixtures are taken down all the same
    config.addinivalue_line("markers", "oracle: holds for OpenSSH's ssh too (HAWSER=/usr/bin/ssh)")
    config.addinivalue_line("markers", "core: the short list that also runs without sanitizers")


def short_name(item):
    path, _, test = item.nodeid.partition("::")
    return path.rpartition("/")[2] + "::" + test


def listed_skips():
    """[(start of a test's name, reason)] that may be skipped here."""
    lines = (HERE / "allowed_skips.txt").read_text().splitlines()
    pairs = [line.split("\t") for line in lines if line.strip() and line[0] != "#"]
    root = os.geteuid() == 0
    return [(name, why) for name, why in pairs if not (root and why.startswith("without root"))]


def keep_only(config, items, wanted):
    kept = [i for i in items if wanted(i)]
    config.hook.pytest_deselected(items=[i for i in items if i not in kept])
    items[:] = kept


def pytest_collection_modifyitems(config, items):
    """What needs root is skipped without it. With HAWSER set to another client, only what that
    client must do as well is run."""
    for item in items:
        for name, why in listed_skips():
            if why.startswith("without root") and short_name(item).startswith(name):
                item.add_marker(pytest.mark.skip(reason=why))
    if ORACLE:
        keep_only(config, items, lambda item: item.get_closest_marker("oracle"))
    if SLOW > 1:
        # Words are the same in every build: under sanitizers a part of the lines will do.
        lines = [i for i in items if short_name(i).startswith("test_oracle_")]
        chosen = {id(i) for i in lines[::4]} | {id(i) for i in items if i not in lines}
        keep_only(config, items, lambda item: id(item) in chosen)


def pytest_sessionfinish(session, exitstatus):
    """A file without any test of the short list is no failure of it."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr:
        session.exitstatus = pytest.ExitCode.OK


# ---- one run ---------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def folder():
    """A short path in /tmp (socket paths are limited to 107 bytes) that the account can enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hw-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    if not os.environ.get("HAWSER_TEST_KEEP"):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def keys(folder):
    return Keys(folder / "keys")


@pytest.fixture(scope="session")
def account(folder):
    made = Account(folder / "home")
    yield made
    made.close()


# ---- one test --------------------------------------------------------------------------------
_count = 0


@pytest.fixture
def bare(folder, keys, account):
    """A world without servers and without a daemon."""
    global _count
    _count += 1
    box = Box(folder / f"t{_count}", keys, account)
    yield box
    wrong = box.close()
    assert not wrong, "\n".join(wrong)
    if not os.environ.get("HAWSER_TEST_KEEP"):
        box.remove()


@pytest.fixture
def cold(bare):
    """One server, known as host "h"; no daemon: the first client starts it."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    bare.host("h", bare.sshd)
    return bare


@pytest.fixture
def box(cold):
    """One server, known as host "h", and a daemon that logs at debug level; nothing held yet."""
    cold.start_daemon()
    return cold


@pytest.fixture
def warm(box):
    """As box, and the transport to "h" is held."""
    if not ORACLE:
        assert box.ok("h", "true") == ""
    return box


@pytest.fixture
def proxied(bare):
    """One known server "h", reached through a proxy that does harm: bare.proxy."""
    bare.sshd = bare.server()
    bare.trust(bare.sshd)
    with FaultProxy(bare.sshd.port) as bare.proxy:
        bare.host("h", bare.proxy, HostKeyAlias=f"[127.0.0.1]:{bare.sshd.port}")
        bare.start_daemon()
        yield bare


@pytest.fixture
def tools(box):
    """What runs rsync, git and others with hawser in ssh's place, over a box's one server."""
    made = Tools(box)
    yield made
    made.close()


@pytest.fixture
def network():
    """A network with a usual MTU, and a packet filter."""
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip("iproute2 or nftables is not installed")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(own_network(mtu=1500))
        except OSError:
            pytest.skip("no right to a network of its own")
        yield


@pytest.fixture
def echoing():
    """A server on this side that sends back what comes."""
    with Server(echo) as server:
        yield server


# ---- every test has a deadline, and its logs are shown when it fails ---------------------------
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    def late(_signal, _frame):
        raise TimeoutError(f"the test ran for more than {TEST_SECONDS * SLOW:.0f} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(TEST_SECONDS * SLOW))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        name = short_name(item)
        if not any(name.startswith(allowed) for allowed, _ in listed_skips()):
            report.outcome = "failed"
            report.longrepr = f"{name} was skipped, and allowed_skips.txt does not name it: " \
                              f"{report.longrepr}"
    if report.failed:
        fixtures = getattr(item, "funcargs", {})
        box = fixtures.get("bare") or getattr(fixtures.get("world"), "box", None)
        for title, text in box.logs() if box else ():
            if text.strip():
                report.sections.append((title, text))
