#!/usr/bin/env python3
"""Files of at most 600 lines, functions of at most 80."""
import ast
import json
import shutil
import subprocess
import sys

from sources import c_files, finish, python_files, relative, shell_files

FILE_MAX, FUNCTION_MAX = 600, 80


def c_functions(files):
    """(path, name, lines) by universal-ctags."""
    listing = subprocess.run(
        ["ctags", "--output-format=json", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f",
         "--fields=+ne", "-f", "-", *map(str, files)], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            yield tag["path"], tag["name"], tag["end"] - tag["line"] + 1


def python_functions(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield str(file), node.name, node.end_lineno - node.lineno + 1


def main():
    if not shutil.which("ctags"):
        print("ctags is missing (Debian: universal-ctags)")
        sys.exit(1)
    problems = []
    for file in c_files() + python_files() + shell_files():
        lines = len(file.read_text().splitlines())
        if lines > FILE_MAX:
            problems.append(f"{relative(file)}: {lines} lines, more than {FILE_MAX}")
    functions = list(c_functions(c_files()))
    assert functions, "ctags has found no function at all"
    for file in python_files():
        functions += python_functions(file)
    for path, name, lines in functions:
        if lines > FUNCTION_MAX:
            problems.append(f"{path}: {name}() has {lines} lines, more than {FUNCTION_MAX}")
    finish(problems, "sizes")


if __name__ == "__main__":
    main()
