#!/usr/bin/env python3
"""Compares docs/protocol.md with the code: messages, their keys with type and need, limits, flags,
codes, version. Prints what differs; exit status 1 if anything does."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# How a kind of value in decode.c is called in the document.
KINDS = {
    "KIND_U32": "uint",
    "KIND_I32": "int",
    "KIND_BOOL": "bool",
    "KIND_STR": "text",
    "KIND_BYTES": "bytes",
    "KIND_STRV": "list of text",
    "KIND_WINSIZE": "list of 4 uint",
    "KIND_STREAMS": "list of 3 codes",
    "KIND_FIELDS": "list of fields",
}
EMPTY = {"CANCEL", "PING", "PONG"}

KEY = re.compile(r'(?:KEY(?:_HAS)?\(\s*\w+,|\{)\s*"(\w+)",\s*(KIND_\w+),\s*(true|false)([^")}]*)')


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def table_after(doc, header):
    """The cells of the rows of the first table with this header."""
    start = doc.find(f"| {header} |")
    if start < 0:
        return None
    rows = []
    for line in doc[start:].splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def messages_in_code():
    found = re.findall(r"^X\((\w+), (\d+), (\w+), (\w+)\)", read("protocol/messages.def"), re.M)
    return {name: (number, direction, phase) for name, number, direction, phase in found}


def messages_in_doc(doc):
    rows = table_after(doc, "number | name | direction | phase | meaning") or []
    return {row[1]: (row[0], row[2], row[3]) for row in rows}


def keys_in_code():
    """{"REQUEST": {"proto": ("uint", "required"), ...}, ..., "field": ...}"""
    text = read("protocol/decode.c")
    parts = re.split(r"^(?:static )?int (?:proto_decode_(\w+)|read_(fields))\(", text, flags=re.M)
    keys = {}
    for command, fields, body in zip(parts[1::3], parts[2::3], parts[3::3]):
        rows = {}
        for name, kind, required, rest in KEY.findall(body):
            word = ", word" if "PROTO_WORD_MAX" in rest else ""
            rows[name] = (KINDS[kind] + word, required == "true")
        if rows:
            keys[command.upper() if command else fields[:-1]] = rows
    wanted = re.search(r"wanted\[\] = \{(.*?)\};", read("protocol/decode_reply.c"), re.S).group(1)
    types = {"ok": ("bool", True), "error": ("text", False), "items": ("list of maps", True)}
    keys["REPLY"] = {name: types.get(name, ("?", False)) for name in re.findall(r'"(\w+)"', wanted)}
    return keys


def keys_in_doc(doc):
    keys = {}
    for section in re.split(r"^### ", doc, flags=re.M)[1:]:
        section = section.split("\n## ", 1)[0]
        name = section.split("\n", 1)[0].strip()
        for part, text in zip([name, "field"], section.split("A field is a map:")):
            rows = table_after(text, "key | type | default | meaning")
            if rows is None:
                if "The body is empty." in text:
                    keys[part] = {}
                continue
            # "uint, 0 to 3" says more than the code's kind; a range is no part of the type.
            keys[part] = {row[0]: (re.sub(r", -?\d.*", "", row[1]), row[2] == "required")
                          for row in rows}
    return keys


def numbers_in_code():
    """The tables of names and numbers: {heading: {name: number}}."""
    header = read("protocol/proto.h")
    defines = dict(re.findall(r"#define (PROTO_\w+)\s+\(?([0-9a-fx* u]+)\)?", header))
    values = {name: eval(text.replace("u", ""), {}) for name, text in defines.items()}
    enums = {name: int(n) for name, n in re.findall(r"(PROTO_\w+) = (\d+),", header)}

    def prefixed(names, prefix):
        return {name[len(prefix):]: n for name, n in names.items() if name.startswith(prefix)}

    flags = {name: n for name, n in values.items() if defines[name].startswith("0x")}
    limits = {name: n for name, n in values.items() if name.endswith("_MAX")}
    return {
        "limit | value | of": limits,
        "flag | name | meaning": prefixed(flags, "PROTO_"),
        "code | name | meaning": prefixed(enums, "PROTO_STREAM_"),
        "kind | name | meaning": prefixed(enums, "PROTO_PROMPT_"),
        "version": {"major": values["PROTO_MAJOR"], "minor": values["PROTO_MINOR"]},
    }


def numbers_in_doc(doc, headings):
    numbers = {}
    for heading in headings:
        if heading == "version":
            numbers[heading] = {name: int(n) for name, n in
                                re.findall(r"\b(major|minor) (\d+)\b", doc.split("##")[0])}
            continue
        rows = table_after(doc, heading) or []
        name, number = (0, 1) if heading.startswith("limit") else (1, 0)
        numbers[heading] = {row[name]: int(row[number], 0) for row in rows}
    return numbers


def differences(what, code, doc):
    for key in code.keys() | doc.keys():
        if code.get(key) != doc.get(key):
            yield f"{what} {key}: the code has {code.get(key)}, the document {doc.get(key)}"


def main():
    doc = read("docs/protocol.md")
    faults = list(differences("message", messages_in_code(), messages_in_doc(doc)))

    code, prose = keys_in_code(), keys_in_doc(doc)
    for name in EMPTY:
        code[name] = {}
    for name in (messages_in_code().keys() | {"field"}) - code.keys():
        faults.append(f"{name}: no decoder was found")
    for name in code.keys() | prose.keys():
        if name not in prose:
            faults.append(f"{name}: the document has no section with its keys")
        else:
            faults += differences(f"key of {name}:", code.get(name, {}), prose[name])

    numbers = numbers_in_code()
    in_doc = numbers_in_doc(doc, numbers)
    for heading, rows in numbers.items():
        if not rows:
            faults.append(f"nothing found in proto.h for \"{heading}\"")
        faults += differences(heading.split(" ")[0], rows, in_doc[heading])

    for fault in sorted(faults):
        print(f"docs/protocol.md: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
