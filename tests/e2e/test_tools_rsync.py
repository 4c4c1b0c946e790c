"""rsync -e hawser: many small files, a large one, both ways, one login."""
import os
import shutil
import signal

import pytest

from toolbox import make_large_file, make_small_files, make_tree, many, tree
from util import wait_for

pytestmark = [pytest.mark.oracle,
              pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")]


def rsync(tools, *words):
    return tools.run("rsync", "-a", *words, "-e", tools.shell)


def differences(tools, source, target):
    """What rsync would still change, judged by checksums; through hawser again."""
    return rsync(tools, "-n", "-c", "-i", "--delete", "--omit-dir-times", f"{source}/",
                 f"{target}/")


@pytest.mark.core
def test_rsync(tools):
    """There, with --delete, and back: all names, sizes and times."""
    source, back = tools.folder("source"), tools.dir / "back"
    content = make_tree(source)
    rsync(tools, f"{source}/", f"h:{tools.far}/")
    assert tree(tools.far) == content
    (source / "large").unlink()
    del content["large"]
    rsync(tools, "--delete", f"{source}/", f"h:{tools.far}/")
    rsync(tools, f"h:{tools.far}/", f"{back}/")
    assert tree(tools.far) == tree(back) == content
    assert (back / "d1/file 1").stat().st_mtime == (source / "d1/file 1").stat().st_mtime
    tools.one_login()


def test_rsync_many_files(tools):
    """10,000 small files there and back, then --delete of half of them, each way."""
    count = many(10000, 1000)
    source, back = tools.folder("source"), tools.folder("back")
    make_small_files(source, count)
    said = rsync(tools, "--stats", f"{source}/", f"h:{tools.far}/")
    assert f"Number of regular files transferred: {count:,}" in said
    assert differences(tools, source, f"h:{tools.far}") == ""
    rsync(tools, f"h:{tools.far}/", f"{back}/")
    for part in sorted(source.iterdir())[::2]:
        shutil.rmtree(part)
    said = rsync(tools, "--delete", "--stats", f"{source}/", f"h:{tools.far}/")
    assert f"Number of deleted files: {count // 2 + count // 200:,} " in said
    rsync(tools, "--delete", f"h:{tools.far}/", f"{back}/")
    assert tree(back) == tree(source)
    tools.one_login()


def test_rsync_large_file(tools):
    """One file of 500 MB there and back, every byte of it sent."""
    megabytes = many(500, 50)
    source, back = tools.folder("source"), tools.folder("back")
    make_large_file(source / "large", megabytes)
    for words in ((f"{source}/", f"h:{tools.far}/"), (f"h:{tools.far}/", f"{back}/")):
        said = rsync(tools, "-W", "-S", "--stats", *words)
        assert f"Literal data: {megabytes * 10**6:,} bytes" in said
    tools.run("cmp", source / "large", tools.far / "large")
    tools.run("cmp", source / "large", back / "large")
    tools.one_login()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_rsync_interrupted(tools, sig):
    """^C or SIGTERM in the middle: rsync's words and status, nothing goes on on the far side, and
    the transport serves the next call, which finishes the copy."""
    source = tools.folder("source")
    make_large_file(source / "large", 50)
    proc = tools.start("rsync", "-a", "--bwlimit=2000", "-e", tools.shell, f"{source}/",
                       f"h:{tools.far}/")
    wait_for(lambda: list(tools.far.iterdir()), "the copy's begin")
    os.killpg(proc.pid, sig)
    _, said = proc.communicate(timeout=60)
    # Code 255 where the client had ended before rsync asked for its status.
    assert proc.returncode in (20, 255) and b"(code %d)" % proc.returncode in said
    wait_for(lambda: not tools.sshd.remote_processes("rsync"), "the far rsync's end")
    rsync(tools, f"{source}/", f"h:{tools.far}/")
    tools.run("cmp", source / "large", tools.far / "large")
    tools.one_login()
