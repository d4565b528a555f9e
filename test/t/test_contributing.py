"""CONTRIBUTING.md tells the truth: what it names is there, its commands can be run, its map of src/ is complete."""

import os
import re
import shutil
import subprocess

import pytest

import tpmtest

ROOT = tpmtest.ROOT
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = [block.strip() for block in re.findall(r"^\s*```\n(.*?)^\s*```$", TEXT, re.M | re.S)]
WORDS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.S))
SOURCES = "".join(path.read_text(encoding="utf-8") for pattern in ("src/**/*.[ch]", "sql/extension/*.sql", "test/sandbox/*.py",
                                                                      "test/lib/*.py", "test/matrix/run")
                  for path in sorted(ROOT.glob(pattern)))

# rooms of the house, from the top floor to the ground
ROOMS = re.findall(r"^\| `([\w/]+)/`", re.search(r"^\| room \|.*\n((?:\|.*\n)*)", TEXT, re.M)[1], re.M)
WALKS = re.findall(r"^### (One .*)\n\n((?:.+\n)+)", TEXT, re.M)

# what stands for something else, or is made by a command
PLACEHOLDERS = {"COMMAND", "PID", "expected/query.out", "results/query.out", "/proc/sys/kernel/core_pattern",
                "src/", "sql/", "expected/", "debian/", "/tmp", ".clang-format", "_internal.h"}
MADE = re.compile(r"dist/|results/|tpm_fdw--1\.0--1\.1\.sql|\.tar\.gz$|tpm_\.\.\.")


def commands():
    """Every command line of the page, those in backticks included."""
    lines = [line.split("  #")[0].strip() for block in CODE if not block.startswith("PYTHONPATH") for line in block.split("\n")]
    lines += [word for word in WORDS if re.match(r"(SECONDS_EACH=\S+ |MATRIX_TESTS='[^']*' )?(make|test/|/usr/bin/python3|git|gdb|ulimit|diff)\b"
                                                 r"(/\S+)?( |$)", word) and not word.endswith("/")]
    return sorted({part.strip() for line in lines for part in line.split("&&")})


def make_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(" ".join(re.findall(r"^SCRIPTED \+?= (.*)$", text, re.M)).split()) | {"all", "install", "installcheck"}


def test_every_file_is_there():
    """Paths, and patterns that must match something."""
    paths = {word for word in WORDS if re.fullmatch(r"\.?[\w*./-]+", word) and ("/" in word or re.search(r"\.(c|h|py|md|json|sql|out|control)$", word))}
    linked = set(re.findall(r"\]\(([^)#]+)\)", TEXT))
    wrong = [path for path in paths | linked
             if path not in PLACEHOLDERS and not MADE.search(path) and path != "curl.h"
             and not list(ROOT.glob(path.lstrip("/") if not path.startswith("/usr") else "README.md"))
             and not (path.split("/")[0] in ROOMS and (ROOT / "src" / path).is_dir())]
    assert len(paths) > 50
    assert wrong == []


def test_every_link_inside_leads_somewhere():
    """GitHub's way to make an anchor of a heading."""
    anchors = {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", TEXT, re.M)}
    assert [link for link in re.findall(r"\]\(#([^)]+)\)", TEXT) if link not in anchors] == []


def test_every_command_can_be_run():
    """Programs that are there, targets of the Makefile, steps and tests that exist."""
    found = commands()
    assert len(found) > 20
    for command in found:
        words = [word for word in command.split() if not re.match(r"[A-Z_]+=", word)]
        program = words[0]
        if program == "make":
            assert all(word in make_targets() for word in words[1:] if not word.startswith("-") and "=" not in word
                       and not re.match(r"'|-k", word) and not word[0].isdigit()), command
        elif program in ("ulimit", "diff"):
            continue
        elif program.startswith("test/"):
            assert (ROOT / program).is_file(), command
        else:
            # tools of who works on it; where only tests run there may be neither
            assert shutil.which(program) or program in ("git", "gdb"), command


@pytest.mark.parametrize("command", [command for command in commands() if " pytest " in command])
def test_tests_that_are_named_exist(command):
    """pytest finds what the line selects."""
    words = command[command.index(" -m pytest "):].split()
    run = subprocess.run(["/usr/bin/python3", *words, "--collect-only"], cwd=ROOT, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_dimensions_fuzz_targets_and_modes_exist():
    """What is handed to our own programs."""
    dimensions = subprocess.check_output(["/usr/bin/python3", ROOT / "test" / "differential" / "run", "--list"], text=True).split()
    named = re.findall(r"differential/run.* --only (\w+)", TEXT)
    assert named and set(named) <= set(dimensions)
    targets = re.findall(r"test/fuzz/run (\w+)", TEXT)
    assert targets and all((ROOT / "test" / "fuzz" / "corpus" / target).is_dir() for target in targets)
    modes = re.findall(r"^\s(\w+)\)", (ROOT / "test" / "assert" / "run").read_text(encoding="utf-8"), re.M)
    named = set(re.findall(r"test/assert/run (\w+)", TEXT))
    assert named and named <= set(modes)


def test_the_map_is_complete():
    """Each folder of src/ that has a file is a room of the table, and each room of the table is a folder."""
    folders = {path.relative_to(ROOT / "src").parts[0] for path in ROOT.glob("src/*/**/*.[ch]")}
    assert ROOMS[0] == "src"
    assert sorted(ROOMS[1:]) == sorted(folders)


@pytest.mark.parametrize("title, walk", WALKS, ids=[title for title, walk in WALKS])
def test_a_walk_leads_through_the_tree(title, walk):
    """Each file that it passes is there, and defines the functions that are named behind it."""
    steps = re.findall(r"`(src/[\w/.]+)`:\s+((?:`\w+`,?\s*)+)", walk)
    assert walk.count("\n") <= 15
    assert len(steps) > 10 and len(steps) == len(re.findall("`src/", walk))
    gone = [path for path, _ in steps if not (ROOT / path).is_file()]
    astray = [(path, name) for path, names in steps if path not in gone for name in re.findall(r"\w+", names)
              if not re.search(rf"^{name}\([^;]*?\)\n{{", (ROOT / path).read_text(encoding="utf-8"), re.M)]
    assert (gone, astray) == ([], [])


def symbols(path, kind):
    """Names that the object of a file defines (T) or needs (U)."""
    listing = subprocess.run(["nm", ROOT / path.replace(".c", ".o")], check=True, capture_output=True, text=True).stdout
    return set(re.findall(rf" [{kind}] (\w+)$", listing, re.M))


def test_the_walk_of_a_write_is_the_way_of_the_objects():
    """Each file of it calls the next, or is asked by it on the way back; what is in brackets is called from there."""
    walk = dict(WALKS)["One INSERT, from psql to the byte on the wire and back"]
    way, asked = [], []
    for step in re.split(r"^\d\. ", walk, flags=re.M)[1:]:
        path = re.match(r"`(src/[\w/.]+)`", step).group(1)
        way.append(path)
        asked += [(path, name) for name in re.findall(r"`(tpm_\w+)`", "".join(re.findall(r"\([^()]*\)", step)))]
    assert len(set(way)) <= 5
    assert [(one, other) for one, other in zip(way, way[1:])
            if not symbols(one, "U") & symbols(other, "T") and not symbols(other, "U") & symbols(one, "T")] == []
    assert len(asked) > 5 and [(path, name) for path, name in asked if name not in symbols(path, "U")] == []


def test_there_are_two_walks():
    """One that reads and one that writes."""
    assert [re.sub(r"^One (\w+).*", r"\1", title) for title, walk in WALKS] == ["SELECT", "INSERT"]


def test_every_name_is_in_the_source():
    """Functions, types, tables, settings."""
    names = {word for word in WORDS if re.fullmatch(r"(tpm_|Tpm|TPM_)\w+|[A-Z]{4,}|\w+_of|tpmtest\.\w+", word)} - PLACEHOLDERS
    assert len(names) > 10
    assert [name for name in names if name.split(".")[-1] not in SOURCES] == []


def test_the_server_to_play_with():
    """The Python of the page starts a cluster and says how to reach it."""
    block, = [block for block in CODE if block.startswith("PYTHONPATH")]
    script = re.search(r"'\n(.*)'$", block, re.S)[1]
    run = subprocess.run(["/usr/bin/python3", "-c", script + "\nprint(t.rows(db, 'SELECT count(*) FROM tpm.regions'))\n"
                          "sandbox.fault('status:503', count=1); sandbox.requests(); cluster.log()"],
                         cwd=ROOT, env={**os.environ, "PYTHONPATH": "test/lib"},
                         text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "host=" in run.stdout and "[(8,)]" in run.stdout
