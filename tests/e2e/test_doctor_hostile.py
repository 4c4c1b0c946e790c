"""hawserctl doctor in front of servers that mean harm, and in odd surroundings."""
import pytest

from doctoring import Odd, doctor, prepare


@pytest.fixture
def bench(bare):
    return prepare(bare)


def test_words_without_end(bench):
    """A server that never ends its line: doctor does."""
    def talk(peer):
        while True:
            peer.sendall(b"x" * 65536)
    with Odd(talk) as server:
        bench.host("endless", server)
        status, verdict, _ = doctor(bench, "endless")
    assert status == 1 and "no SSH server" in verdict and "xxx" in verdict
