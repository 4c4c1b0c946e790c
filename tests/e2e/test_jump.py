"""ProxyJump: jump hosts whose transports are held and shared, with chains of them."""
import pytest


def chain(box, length, **options):
    """Servers and hosts j1, j2 ... and "far", each reached through the one before it."""
    names = [f"j{i}" for i in range(1, length + 1)] + ["far"]
    made = {}
    for before, name in zip([None] + names, names):
        made[name] = box.server(**options.get(name, {}))
        box.trust(made[name])
        box.host(name, made[name], ProxyJump=before)
    return made


def logins(servers):
    return {name: server.logins() for name, server in servers.items()}


@pytest.mark.core
def test_chain_of_three(bare):
    """Three jump hosts: one login at each, then none at all."""
    servers = chain(bare, 3)
    bare.start_daemon()
    assert bare.ok("far", "echo $SSH_CONNECTION").split()[3] == str(servers["far"].port)
    assert set(logins(servers).values()) == {1}
    for _ in range(3):
        assert bare.ok("far", "echo again") == "again\n"
    assert set(logins(servers).values()) == {1}
