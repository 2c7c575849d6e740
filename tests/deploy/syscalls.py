"""Says which system calls of a run a unit of systemd forbids: syscalls.py UNIT CALLS

CALLS is what `strace -c` wrote. Which calls a group has, as @system-service, systemd says itself.
"""

import pathlib
import re
import subprocess
import sys


def groups():
    """The calls of every group; a group may name others."""
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    ).stdout
    found, current = {}, None
    for line in text.splitlines():
        name = line.strip().removeprefix("# ").strip()
        if line.startswith("@"):
            current = found.setdefault(name, set())
        elif line.startswith("    ") and current is not None and re.fullmatch(r"@?[a-z0-9_-]+", line.strip()):
            current.add(line.strip())
    return found


def expand(names, known):
    calls = set()
    for name in names:
        calls |= expand(known[name], known) if name.startswith("@") else {name}
    return calls


def allowed(unit, known):
    """The lines of a unit, in their order: the first one allows, those with ~ take away."""
    lines = re.findall(r"^SystemCallFilter=(.*)$", pathlib.Path(unit).read_text(), re.M)
    calls = set()
    for line in lines:
        names = expand(line.removeprefix("~").split(), known)
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def used(file):
    """The names in the last column of strace's table."""
    lines = pathlib.Path(file).read_text().splitlines()
    rules = [place for place, line in enumerate(lines) if line.startswith("------")]
    return {line.split()[-1] for line in lines[rules[0] + 1 : rules[1]]}


def main(unit, file):
    known = groups()
    permitted, calls = allowed(unit, known), used(file)
    forbidden = sorted(calls - permitted)
    if len(calls) < 20 or len(permitted) < 100:
        print(f"{file}: {len(calls)} of {len(permitted)} calls: this looks at nothing", file=sys.stderr)
        return 1
    if forbidden:
        print(f"{unit} forbids what is used: {' '.join(forbidden)}", file=sys.stderr)
        return 1
    print(f"{unit}: {len(calls)} system calls were used, of {len(permitted)} that are allowed")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
