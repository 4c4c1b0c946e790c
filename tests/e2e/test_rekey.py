"""New keys under load: nothing is lost, nobody is stalled."""
import threading

import pytest

from util import pattern, read_text, sha, wait_for


@pytest.fixture
def rekeying(bare):
    """A server that wants new keys after each megabyte, and says so in its log."""
    def make(server=None, client=None):
        options = {"LogLevel": "DEBUG1"}
        if server:
            options["RekeyLimit"] = server
        bare.sshd = bare.server(**options)
        bare.trust(bare.sshd)
        bare.host("h", bare.sshd, RekeyLimit=client)
        bare.start_daemon()
        return bare
    return make


def rekeys(box):
    return read_text(box.sshd.log).count("SSH2_MSG_NEWKEYS received")


@pytest.mark.oracle
@pytest.mark.parametrize("server, client", [("1M", None), (None, "1M"), ("1M", "1M")])
@pytest.mark.parametrize("way", ["down", "up", "both"])
def test_rekey_under_load(rekeying, server, client, way):
    """20 MB with new keys each megabyte, asked for by either side."""
    box = rekeying(server, client)
    data = pattern(20 << 20, 9)
    source = box.account.home / "data"
    source.write_bytes(data)
    source.chmod(0o644)
    if way == "down":
        assert sha(box.run("h", f"cat {source}").out) == sha(data)
    elif way == "up":
        result = box.run("h", "sha256sum", input=data)
        assert result.text.split()[:1] == [sha(data)], result
    else:
        result = box.run("h", "cat", input=data)
        assert (len(result.out), sha(result.out)) == (len(data), sha(data)), result.err
    source.unlink()
    assert rekeys(box) >= 5


@pytest.mark.core
def test_rekey_with_several_sessions(rekeying):
    """Four transfers and a stream of short calls while keys change."""
    box = rekeying("1M", "1M")
    data = pattern(8 << 20, 4)
    sums = {}

    def transfer(index):
        result = box.run("h", "cat", input=data)
        sums[index] = sha(result.out) if result.status == 0 else result.err
    threads = [threading.Thread(target=transfer, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for i in range(20):
        assert box.ok("h", f"echo {i}") == f"{i}\n"
    for t in threads:
        t.join()
    assert sums == {i: sha(data) for i in range(4)} and rekeys(box) >= 10


def test_rekey_by_time_while_idle(rekeying):
    """RekeyLimit by time on an idle, held transport: the next call works."""
    box = rekeying("default 1", None)
    assert box.ok("h", "echo one") == "one\n"
    begin = rekeys(box)

    def called():
        assert box.ok("h", "echo two") == "two\n"
        return rekeys(box) > begin
    wait_for(called, "new keys by time")
    assert box.sshd.logins() == 1
