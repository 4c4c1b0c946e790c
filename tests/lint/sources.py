"""What the lints share: the project's files, and C without its comments and strings."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
C_ROOMS = ("protocol", "client", "daemon")
C_ELSEWHERE = ("tests/unit", "tests/fakes", "tests/fuzz", "bench")


def tracked():
    """Paths of all files that are part of the project (in a tarball: all files that are there)."""
    listing = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
                             capture_output=True, text=True)
    if listing.returncode == 0:
        names = listing.stdout.split("\n")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    return sorted(ROOT / n for n in names if n and (ROOT / n).is_file())


def c_files(folders=C_ROOMS + C_ELSEWHERE):
    return [p for p in tracked() if p.suffix in (".c", ".h")
            and any(p.is_relative_to(ROOT / f) for f in folders)]


def python_files():
    """By suffix or by first line."""
    return [p for p in tracked() if p.suffix == ".py" or shebang(p, "python")]


def shell_files():
    return [p for p in tracked() if p.suffix == ".sh" or shebang(p, "sh")]


def shebang(path, word):
    if path.suffix:
        return False
    with open(path, "rb") as f:
        first = f.readline(100)
    return first.startswith(b"#!") and re.search(rb"\b(ba|da)?%s[0-9]?\b" % word.encode(), first)


def bare_c(text):
    """C without comments, strings and character constants; lines stay where they are."""
    def blank(match):
        return "\n" * match[0].count("\n") if match[0].startswith("/") else '""'
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text,
                  flags=re.S)


def report(problems, what):
    """Prints the problems and gives the exit status."""
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problem(s) with {what}")
    return 1 if problems else 0


def relative(path):
    return str(path.relative_to(ROOT))


def finish(problems, what):
    sys.exit(report(problems, what))
