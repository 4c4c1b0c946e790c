#!/usr/bin/env python3
"""Compares the manuals with the code: settings and their defaults, HAWSER_* variables, hawserctl's
verbs and options, hawserd's and hawser's options. What is missing on either side is a fault."""
import re

from sources import C_ROOMS, ROOT, c_files, finish, relative

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def code(path):
    return COMMENT.sub(" ", read(path))


def table(path, start):
    """The initialiser of a table of structs, from the line with `start` to its closing brace."""
    return code(path).partition(start)[2].partition("\n};")[0]


def items(page, macro, section=""):
    """The words that `.It MACRO` lines of a manual define ("Ev HAWSER_A , HAWSER_B"). section: only
    those behind this heading."""
    text = read(page)
    if section:
        text = text.partition(f".Sh {section}\n")[2].partition("\n.Sh ")[0]
    lines = re.findall(rf"^\.It {macro} (.*)$", text, re.M)
    return {word for line in lines for word in re.split(r" (?:[A-Z][a-z] .*)?,? ?", line) if word}


def flags(page):
    """All that stands behind Fl, without macros' names and punctuation."""
    found = set()
    for line in re.findall(r"^\.(?:.*\s)?Fl (.*)$", read(page), re.M):
        for words in line.split("Fl "):
            for word in words.split():
                if len(word) > 1 and word[0].isupper():
                    break  # another macro: Ar, Cm
                found.add(word)
    return found - {",", ".", "|"}


def seconds(text):
    """ "10m" as "600"; what is no time stays as it is."""
    unit = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    return str(int(found[1]) * unit[found[2]]) if found else text


def settings():
    """{name: default} as the code, the manual and README.md have it; times in seconds."""
    text = code("daemon/config.c")
    values = dict(re.findall(r"^\t+\.(\w+) = ([^,]+),$", text, re.M))
    rows = re.findall(r'\{"([\w-]+)", KIND_(\w+), FIELD\((\w+)\)',
                      table("daemon/config.c", "config_keys[] = {"))
    in_code = {}
    for name, kind, field in rows:
        value = values[field].strip('"').replace("LOG_LVL_", "").lower()
        if kind == "MODES":
            value = {"false": "off", "true": "stty"}[value]
        if kind == "YES":
            value = {"0": "no", "1": "yes"}[value]
        in_code[name] = str(int(value) // 1000) if kind == "MILLISECONDS" else value
    in_page = {}
    for block in read("docs/hawser.conf.5").split("\n.It Cm ")[1:]:
        default = re.search(r"^The default is\s+(?:\.Cm )?(\S+?)[ .]*$", block, re.M)
        in_page[block.split("\n")[0]] = seconds(default[1]) if default else "not told"
    part = read("README.md").partition("\n## Configuration\n")[2].partition("\n## ")[0]
    in_readme = {name: seconds(default)
                 for name, default in re.findall(r"^\| `([a-z-]+)` \| (\S+) \|", part, re.M)}
    return in_code, in_page, in_readme


def variables():
    """Named by the code as whole strings; defined by any manual."""
    named = {}
    for file in c_files(C_ROOMS):
        for name in re.findall(r'"(HAWSER_[A-Z0-9_]+)"', COMMENT.sub(" ", file.read_text())):
            named.setdefault(name, relative(file))
    defined = set()
    for page in sorted((ROOT / "docs").glob("*.[1-8]")):
        defined |= {w for w in items(relative(page), "Ev") if w.startswith("HAWSER_")}
    return named, defined


def verbs():
    """hawserctl's own table, the daemon's, and the manual's."""
    rows = table("client/ctl.c", "verbs[] = {")
    asked = re.findall(r'\{"(\w+)", \d, \d, (?:NULL|"-(-?\w+)")', rows)
    done = set(re.findall(r'\{"(\w+)", control_', table("daemon/control.c", "control_verbs[] = {")))
    options = {flag for _, flag in asked if flag}
    return {verb for verb, _ in asked}, done, options


def differences(what, code_has, page_has, where, page):
    for name in sorted(set(code_has) - set(page_has)):
        yield f"{page}: {what} {name} is missing ({where})"
    for name in sorted(set(page_has) - set(code_has)):
        yield f"{page}: {what} {name} is not in the code ({where})"




def main():
    problems = []

    def compare(what, code_has, page_has, where, page):
        if not code_has:
            problems.append(f"{where}: nothing was found there: does the table look different now?")
        problems.extend(differences(what, code_has, page_has, where, page))

    in_code, in_page, in_readme = settings()
    for page, told in (("docs/hawser.conf.5", in_page), ("README.md", in_readme)):
        compare("setting", in_code, told, "daemon/config.c", page)
        problems.extend(f"{page}: {name} has the default {in_code[name]}, not {default}"
                        for name, default in told.items() if in_code.get(name, default) != default)

    named, defined = variables()
    compare("variable", named, defined, "client/, daemon/, protocol/", "docs/*.1")

    asked, done, options = verbs()
    documented = items("docs/hawserctl.1", "Cm", "DESCRIPTION") - {"doctor"}  # hawserctl's own
    compare("verb", asked, documented, "client/ctl.c", "docs/hawserctl.1")
    compare("verb", done, asked, "daemon/control.c", "client/ctl.c")
    compare("option", options | {"-json", "-version", "-help"},
            flags("docs/hawserctl.1") - {"h", "V"}, "client/ctl.c", "docs/hawserctl.1")

    long = set(re.findall(r'\{"([\w-]+)", \w+_argument', code("daemon/main.c")))
    compare("option", {"-" + name for name in long}, flags("docs/hawserd.1"), "daemon/main.c",
            "docs/hawserd.1")

    rows = table("client/options.c", "rules[] = {")
    letters = set(re.findall(r"\{'(\w)', (?:true|false), ", rows))
    named = {"-" + name for name in re.findall(r'"--([\w-]+)"', code("client/options.c"))}
    compare("option", letters | named, flags("docs/hawser.1") - {"tt"},
            "client/options.c", "docs/hawser.1")
    finish(problems, "the manuals")


if __name__ == "__main__":
    main()
