"""scp -S hawser and sftp -S hawser: both ways, both protocols, batches; one login."""
import os
import signal

import pytest

from toolbox import make_large_file, make_tree, tree
from util import pattern, sha_file, wait_for

pytestmark = pytest.mark.oracle
OLD = 981173106  # 2001-02-03 04:05:06 UTC


@pytest.fixture
def scp(tools):
    def run(*words, **how):
        return tools.run("scp", "-q", "-S", tools.wrapper, *words, **how)
    return run


@pytest.fixture
def sftp(tools):
    def attempt(*words, batch):
        return tools.attempt("sftp", "-q", "-S", tools.wrapper, "-b", "-", *words, "h",
                             input=batch)
    return attempt


BOTH = pytest.mark.parametrize("mode", [[], ["-O"]], ids=["sftp", "scp"])


@BOTH
@pytest.mark.core
def test_scp(tools, scp, mode):
    """A file, several files, a directory, there and back."""
    source, back = tools.folder("source"), tools.folder("back")
    content = make_tree(source, 20)
    scp(*mode, source / "large", f"h:{tools.far}/alone")
    scp(*mode, f"h:{tools.far}/alone", back / "alone")
    assert sha_file(back / "alone") == sha_file(tools.far / "alone") == content["large"]
    (tools.far / "alone").unlink()
    (back / "alone").unlink()
    files = [source / "d1/file 1", source / "d2/file 2", source / "d0/file 0"]
    scp(*mode, *files, f"h:{tools.far}")
    assert sorted(p.name for p in tools.far.iterdir()) == ["file 0", "file 1", "file 2"]
    scp(*mode, f"h:{tools.far}/file*", back)
    assert tree(back) == tree(tools.far)
    scp(*mode, "-r", source, f"h:{tools.far}/copy")
    scp(*mode, "-r", f"h:{tools.far}/copy", back / "copy")
    assert tree(tools.far / "copy") == tree(back / "copy") == content
    tools.one_login()


@BOTH
def test_scp_keeps_times_and_modes(tools, scp, mode):
    """-p, both ways."""
    source = tools.folder("source") / "file"
    source.write_bytes(pattern(5000))
    source.chmod(0o640)
    tools.run("touch", "-d", f"@{OLD}", source)
    scp(*mode, "-p", source, f"h:{tools.far}/file")
    scp(*mode, "-p", f"h:{tools.far}/file", tools.dir / "back")
    for copy in (tools.far / "file", tools.dir / "back"):
        assert int(copy.stat().st_mtime) == OLD and copy.stat().st_mode & 0o7777 == 0o640
    tools.one_login()


@BOTH
def test_scp_between_two_hosts(tools, scp, mode):
    """scp -3: through this machine, and two sessions at once on the one transport."""
    (tools.far / "one").write_bytes(pattern(1 << 20, 3))
    scp(*mode, "-3", f"h:{tools.far}/one", f"h:{tools.far}/two")
    assert sha_file(tools.far / "two") == sha_file(tools.far / "one")
    tools.one_login()


@BOTH
def test_scp_says_what_failed(tools, mode):
    """A missing file, a directory that may not be written: the words of the tool, status not 0."""
    (tools.dir / "here").write_text("")
    for words, name in (([f"h:{tools.far}/missing", "there"], "missing"),
                        (["here", "h:/proc/none"], "/proc/none")):
        done = tools.attempt("scp", *mode, "-S", tools.wrapper, *words)
        assert done.returncode in (1, 255) and name in done.stderr, done
        assert "hawser" not in done.stderr
    tools.one_login()


@BOTH
def test_scp_interrupted(tools, mode):
    """^C in the middle: status not 0, and nothing goes on on the far side."""
    make_large_file(tools.dir / "large", 50)
    proc = tools.start("scp", *mode, "-l", "20000", "-S", tools.wrapper, "large",
                       f"h:{tools.far}/large")
    wait_for(lambda: list(tools.far.iterdir()), "the copy's begin")
    assert len(tools.sshd.workers()) > 2  # two belong to the connection, others to its sessions
    os.killpg(proc.pid, signal.SIGINT)
    proc.communicate(timeout=60)
    assert proc.returncode != 0
    wait_for(lambda: len(tools.sshd.workers()) <= 2, "the far side's end")
    tools.one_login()


@pytest.mark.core
def test_sftp_batch(tools, sftp):
    """put, get, -r, rename, chmod, ls, rm, mkdir and a local command in one batch from stdin."""
    source = tools.folder("source")
    content = make_tree(source, 20)
    done = sftp(batch=f"""
        cd {tools.far}
        put {source}/large
        rename large moved
        chmod 600 moved
        mkdir sub
        put -r {source} sub
        get moved {tools.dir}/got
        get -r sub/source {tools.dir}/back
        -rm missing
        !echo local command
        ls -1 sub/source
        mkdir empty
        rmdir empty
        """)
    assert done.returncode == 0, done
    assert "local command\n" in done.stdout and "sub/source/large\n" in done.stdout
    assert sha_file(tools.dir / "got") == content["large"]
    assert (tools.far / "moved").stat().st_mode & 0o777 == 0o600
    assert tree(tools.far / "sub/source") == tree(tools.dir / "back") == content
    tools.one_login()


def test_sftp_batch_stops_at_an_error(tools, sftp):
    """A command that fails ends a batch with status 1; what follows is not done."""
    done = sftp(batch=f"cd {tools.far}\nget missing\nmkdir never\n")
    assert done.returncode == 1 and "not found" in done.stderr
    assert not (tools.far / "never").exists()
    tools.one_login()


def test_sftp_resumes(tools, sftp):
    """reget and reput go on where a copy ended; -p keeps times, -B and -R are sftp's own."""
    data = pattern(2 << 20, 9)
    (tools.far / "down").write_bytes(data)
    (tools.dir / "down").write_bytes(data[:700001])
    (tools.dir / "up").write_bytes(data)
    half = tools.far / "up"
    half.write_bytes(data[:300007])
    half.chmod(0o666)
    done = sftp("-B", "8192", "-R", "3", "-p",
                batch=f"lcd {tools.dir}\ncd {tools.far}\nreget down\nreput up\n")
    assert done.returncode == 0, done
    assert (tools.dir / "down").read_bytes() == (tools.far / "up").read_bytes() == data
    tools.one_login()


def test_sftp_of_one_file(tools):
    """sftp host:file fetches it; sftp -b with a file of commands."""
    (tools.far / "file").write_bytes(pattern(100000, 4))
    tools.run("sftp", "-q", "-S", tools.wrapper, f"h:{tools.far}/file", tools.dir / "got")
    assert sha_file(tools.dir / "got") == sha_file(tools.far / "file")
    batch = tools.dir / "batch"
    batch.write_text(f"rm {tools.far}/file\n")
    tools.run("sftp", "-q", "-S", tools.wrapper, "-b", batch, "h")
    assert not (tools.far / "file").exists()
    tools.one_login()
