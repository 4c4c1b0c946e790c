#!/usr/bin/env python3
"""Formatting and syntax: clang-format for C, shellcheck for shell, a parse for Python."""
import ast
import re
import shutil
import subprocess
import sys

from sources import c_files, finish, python_files, relative, shell_files, tracked

CLANG_FORMAT_MAJOR = 14  # Debian 12's; other versions lay some lines out differently


def clang_format_problems():
    if not shutil.which("clang-format"):
        return ["clang-format is missing (Debian: clang-format)"]
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
    major = int(re.search(r"version (\d+)", version)[1])
    if major != CLANG_FORMAT_MAJOR:
        print(f"clang-format {major}: formatting is judged by version {CLANG_FORMAT_MAJOR} only")
        return []
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, c_files())],
                          capture_output=True, text=True)
    lines = re.findall(r"^(\S+:\d+):\d+: error: code should be clang-formatted", done.stderr, re.M)
    return [f"{line}: not as clang-format has it" for line in lines] or (
        [done.stderr] if done.returncode else [])


def shell_problems():
    files = shell_files()
    problems = []
    for file in files:
        done = subprocess.run(["bash", "-n", str(file)], capture_output=True, text=True)
        if done.returncode:
            problems.append(done.stderr)
    if not shutil.which("shellcheck"):
        return problems + ["shellcheck is missing (Debian: shellcheck)"]
    done = subprocess.run(["shellcheck", "-f", "gcc", "-s", "bash", *map(str, files)],
                          capture_output=True, text=True)
    return problems + done.stdout.splitlines()


def python_problems():
    problems = []
    for file in python_files():
        text = file.read_text()
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            problems.append(f"{relative(file)}:{error.lineno}: {error.msg}")
            continue
        long = [n for n, line in enumerate(text.split("\n"), 1) if len(line) > 100]
        problems += [f"{relative(file)}:{n}: longer than 100 characters" for n in long]
        names = {}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                if node.name in names:
                    problems.append(f"{relative(file)}:{node.lineno}: {node.name} is defined twice")
                names[node.name] = node
        if file.name.startswith("test_"):
            problems += [f"{relative(file)}:{node.lineno}: {name} has no docstring"
                         for name, node in names.items()
                         if name.startswith("test_") and not ast.get_docstring(node)]
    return problems


def text_problems():
    """White space at line ends, missing last newlines, in every text file."""
    problems = []
    for file in tracked():
        data = file.read_bytes()
        name = relative(file)
        if b"\0" in data or not data or file.suffix in (".svg", ".bin") or "/corpus/" in name:
            continue
        if not data.endswith(b"\n"):
            problems.append(f"{name}: no newline at the end")
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.endswith((b" ", b"\t")):
                problems.append(f"{name}:{number}: white space at the end")
    return problems


def main():
    problems = clang_format_problems() + shell_problems() + python_problems() + text_problems()
    finish(problems, "style")


if __name__ == "__main__":
    sys.exit(main())
