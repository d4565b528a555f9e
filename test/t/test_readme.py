"""The pages tell the truth: their SQL prints what stands there, the reference is complete, defaults and examples hold, links lead somewhere."""

import re
import subprocess

import pytest
import tpmtest

ROOT = tpmtest.ROOT
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
         for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
PROGRAM = ROOT / "test" / "readme"
SOURCES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.c"))]
# bytes: README.md is read at one go, a page of docs/ by who has its question
MOST_OF_README, MOST_OF_A_PAGE = 10240, 20480


def without_blocks(text):
    """The prose: what stands in no block."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


def with_sql():
    """Pages that have something to run."""
    found = [name for name, text in PAGES.items() if "```sql\n" in text]
    assert len(found) > 8
    return found


@pytest.fixture(scope="module", name="said")
def said_fixture(request):
    """What is said of each page that has been chosen; one run for all of them."""
    chosen = [item.callspec.params["name"] for item in request.session.items
              if getattr(item, "originalname", None) == "test_blocks"]
    run = subprocess.run([PROGRAM, *(ROOT / name for name in chosen)], text=True, capture_output=True, check=False)
    found = {page: (text, right, wrong) for text, page, right, wrong
             in re.findall(r"(.*?)^(\S+\.md): (\d+) blocks as they stand, (\d+) not\n", run.stdout, re.M | re.S)}
    return found, run.stdout + run.stderr


@pytest.mark.parametrize("name", with_sql())
def test_blocks(name, said, contrib):
    """Every block of a page, on a cluster and a sandbox of its own; a drift is shown as a diff."""
    for extension in re.findall(r"^CREATE EXTENSION (\w+);", PAGES[name], re.M):
        contrib(extension)
    pages, everything = said
    text, right, wrong = pages.get((ROOT / name).name, (everything, None, None))
    assert wrong == "0", text
    assert int(right) == PAGES[name].count("```sql\n")


def test_every_page_is_run():
    """What the program runs without an argument are the pages that stand here."""
    listed = subprocess.run(["/usr/bin/python3", "-c", "import runpy, sys; print(*runpy.run_path(sys.argv[1])['PAGES'])", PROGRAM],
                            text=True, capture_output=True, check=True).stdout.split()
    assert listed == [str(ROOT / name) for name in PAGES]


@pytest.mark.parametrize("name", PAGES)
def test_size(name):
    """No page is longer than its reader's patience."""
    assert len(PAGES[name].encode()) <= (MOST_OF_README if name == "README.md" else MOST_OF_A_PAGE)


def links(text):
    """Where a page's links and pictures lead."""
    return re.findall(r"\]\(([^()\s]+)\)", without_blocks(text))


def anchors(path):
    """GitHub's way to make anchors of headings."""
    found = []
    for title in re.findall(r"^#+ (.*)$", without_blocks(path.read_text(encoding="utf-8")), re.M):
        anchor = re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return found


def test_every_page_is_linked():
    """From README.md in one click."""
    linked = {link.split("#")[0] for link in links(PAGES["README.md"])}
    assert [name for name in PAGES if name != "README.md" and name not in linked] == []


@pytest.mark.parametrize("name", PAGES)
def test_links(name):
    """Each leads to a file, and to a heading in it."""
    page = ROOT / name
    wrong = []
    for link in links(PAGES[name]):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in PAGES if name != "README.md"])
def test_first_sentence(name):
    """A page begins with the question that it answers."""
    title, _, first = PAGES[name].partition("\n\n")
    assert title.startswith("# ") and "?" in first.split("\n\n")[0]


@pytest.mark.parametrize("block, complaint", [
    ("```sql\nSELECT 1 AS one;\n```\n\n```text\n one\n-----\n   2\n(1 row)\n```\n", "+   1"),
    ("```sql\nSELECT 1 AS one;\n```\n", "prints what does not stand behind it"),
    ("```sql\nSELECT 1 / 0;\n```\n\n```text\nERROR:  division by zero\n```\n", "an error, or none"),
    ("```sql\n-- refused\nSET tpm_fdw.max_wait = 5;\n```\n", "an error, or none"),
])
def test_drift_is_noticed(tmp_path, block, complaint):
    """What prints something else, something unsaid or an error fails."""
    page = tmp_path / "page.md"
    page.write_text(block, encoding="utf-8")
    run = subprocess.run([PROGRAM, page], text=True, capture_output=True, check=False)
    assert run.returncode == 1 and complaint in run.stdout, run.stdout + run.stderr


def test_write(tmp_path):
    """--write makes a page true."""
    page = tmp_path / "page.md"
    page.write_text("```sql\nSELECT 1 AS one;\n```\n\n```text\nold\n```\nend\n", encoding="utf-8")
    assert subprocess.run([PROGRAM, "--write", page], check=False, capture_output=True).returncode == 0
    assert page.read_text(encoding="utf-8") == ("```sql\nSELECT 1 AS one;\n```\n\n"
                                                "```text\n one\n-----\n   1\n(1 row)\n```\nend\n")


# ----- the reference -----

def chapter(page, title):
    """What stands in a page below a heading, up to the next of its rank."""
    text = PAGES[page]
    rank = title.split(" ", maxsplit=1)[0]
    start = text.index(f"\n{title}\n") + len(title) + 2
    end = re.search(rf"^#{{1,{len(rank)}}} ", text[start:], re.M)
    return text[start:start + end.start()] if end else text[start:]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def table(page, title):
    """Cells of the rows of the tables below a heading, without their heads."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")]
            for line in chapter(page, title).split("\n") if line.startswith("| `")]
    assert rows, title
    return rows


OPTION_TABLES = {"SERVER": ["## Server: the API", "## Server: paging and filters",
                            "## Server: budget, cache, transport, writes"],
                 "MAPPING": ["## User mapping"], "TABLE": ["## Foreign table"], "COLUMN": ["## Column"]}


def options_of_the_source():
    """Context, name, whether it is shared, and default of every option of option_table.c; None: none, or described."""
    path, = (ROOT / "src").rglob("option_table.c")
    text = path.read_text(encoding="utf-8")
    found = {}
    pattern = r'^\t(?:[A-Z]+\(|\{)"(\w+)", ([A-Z]+), (?:tpm_\w+, )?(?:\w+\(\w+\)|0), (NULL|"[^"]*")'
    for name, context, preset in re.findall(pattern, text, re.M):
        found["SERVER" if context == "SHARED" else context, name] = (context == "SHARED",
                                                                     None if preset == "NULL" else preset.strip('"'))
    assert len(found) > 70
    return found


def options_of_the_page():
    """The same from the tables, with the examples."""
    found = {}
    for context, titles in OPTION_TABLES.items():
        for cells in [row for title in titles for row in table("docs/options.md", title)]:
            names = code(cells[0])
            defaults = [cell.strip("` ") for cell in (cells[1].split(", ") if len(names) > 1 else [cells[1]])]
            if len(defaults) == 1:
                defaults *= len(names)
            assert len(defaults) == len(names), cells
            shared = cells[0].endswith(" S")
            for name, default in zip(names, defaults):
                example = [text for text in code(cells[2]) if text.startswith(name + " '")]
                assert len(example) == 1, f"option {name} has no example"
                found[context, name] = (shared, default, example[0])
    return found


def test_every_option_with_its_default():
    """Names, where they are allowed, defaults."""
    page, source = options_of_the_page(), options_of_the_source()
    assert sorted(page) == sorted(source)
    for key, (shared, preset) in source.items():
        assert page[key][0] == shared, key
        if preset is not None:
            assert page[key][1] == preset, key


def test_examples_of_options(db):
    """Each is accepted where it stands."""
    run = tpmtest.rows
    run(db, "CREATE SERVER plain FOREIGN DATA WRAPPER tpm_fdw OPTIONS (base_url 'https://a.example.com', auth 'none')")
    around = {
        "SERVER": "CREATE SERVER probe FOREIGN DATA WRAPPER tpm_fdw OPTIONS ({}); DROP SERVER probe",
        "MAPPING": "CREATE USER MAPPING FOR CURRENT_USER SERVER plain OPTIONS ({}); DROP USER MAPPING FOR CURRENT_USER"
                   " SERVER plain",
        "TABLE": "CREATE FOREIGN TABLE probe (id text, a text OPTIONS (filter 'a'), third_party_id text OPTIONS (filter 'third_party.id')) SERVER plain"
                 " OPTIONS ({}); DROP FOREIGN TABLE probe",
        "COLUMN": "CREATE FOREIGN TABLE probe (id text, a {} OPTIONS ({})) SERVER plain OPTIONS (include 'owner');"
                  " DROP FOREIGN TABLE probe",
    }
    needed = {"base_url": "base_url 'https://a.example.com'", "token_url": "token_url '/token'"}
    beside = {"update_check": "update_body 'changed'", "list_format": "filter_format 'where[%s]'",
              "sort_nulls": "sortable 'true'", "filter_match": "filter 'a'", "client_cert": "client_key '/k'",
              "client_key": "client_cert '/c'"}
    for (context, name), (shared, _, example) in options_of_the_page().items():
        given = [example] + ([beside[name]] if name in beside else [])
        if context == "COLUMN":
            if name.startswith("filter_") and name not in beside:
                given.append("filter 'a'")
            kind = "timestamptz" if name == "fetched_at" else "text"
            run(db, around[context].format(kind, ", ".join(given)))
            continue
        if context == "SERVER":
            run(db, around[context].format(", ".join(given + [text for other, text in needed.items() if other != name])))
        if context != "SERVER" or shared:
            run(db, around["TABLE" if shared else context].format(", ".join(given)))


def test_every_setting_with_its_default(db):
    """What SHOW says; what the example sets can be set."""
    hidden = {"tpm_fdw.hour"}
    source = {name for text in SOURCES for name in re.findall(r'DefineCustom\w+\("(tpm_fdw\.\w+)"', text)}
    page = {}
    for cells in table("docs/reference.md", "## Settings"):
        names = code(cells[0])
        page.update(zip(names, zip(cells[1].replace("`", "").split(", "), code(cells[2]))))
    assert set(page) == source - hidden
    for name, (default, example) in page.items():
        assert tpmtest.rows(db, f"SHOW {name}") == [(default,)], name
        assert example.startswith(name + " = ")
        tpmtest.rows(db, f"ALTER SYSTEM SET {example}")
    tpmtest.rows(db, "ALTER SYSTEM RESET ALL")


def test_every_function_and_view(db):
    """Signatures and columns are what the catalogue has."""
    types = {"integer": "int", "timestamp with time zone": "timestamptz", "double precision": "float8"}

    def short(text):
        for long, word in types.items():
            text = text.replace(long, word)
        return text

    functions = tpmtest.rows(db, """
        SELECT format('%s(%s)', p.proname,
                      regexp_replace(regexp_replace(pg_get_function_arguments(p.oid), ',? ?OUT .*', ''), '\\mIN ', '', 'g'))
        FROM   pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        WHERE  d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tpm_fdw') AND d.deptype = 'e'
        AND    p.proname NOT IN (SELECT relname FROM pg_class) AND p.proname !~ '_(handler|validator|guard)$'""")
    listed = {name for row in table("docs/reference.md", "## Functions") for name in code(row[0]) if name.startswith("tpm_")}
    assert listed == {re.sub(r"::(name|text|interval|regclass|boolean)", "", text) for text, in functions}
    views = dict(tpmtest.rows(db, """
        SELECT attrelid::regclass::text, string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
        FROM   pg_attribute WHERE attrelid IN (SELECT objid FROM pg_depend JOIN pg_class v ON v.oid = objid AND v.relkind = 'v'
               WHERE classid = 'pg_class'::regclass
               AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tpm_fdw') AND deptype = 'e')
        AND    attnum > 0 GROUP BY 1"""))
    listed = {code(row[0])[0]: re.sub(r"`|\s\([^)]*\)|^the journal: ", "", row[1]) for row in table("docs/reference.md", "## Views")}
    assert listed == {name: short(columns) for name, columns in views.items()}


def message_patterns():
    """Every primary message of the source, as a regular expression."""
    literal = r'"(?:[^"\\]|\\.)*"'
    part = rf"(?:{literal}|INT64_FORMAT|UINT64_FORMAT)"
    for text in SOURCES:
        for call in re.finditer(rf"(?:errmsg(?:_plural)?\(|tpm_problem\([^\";]*|psprintf\()((?:{part}\s*|,\s*(?=\"))+)", text):
            for message in re.split(r",\s*", call[1].strip().rstrip(",")) if "plural" in call[0] else [call[1]]:
                words = "".join(piece[1:-1] if piece[0] == '"' else "%d"
                                for piece in re.findall(part, message)).replace('\\"', '"')
                pieces = re.split(r"%(?:[-.\d]*(?:ll)?[sdufc]|%)", words)
                if max(len(piece) for piece in pieces) > 8:
                    yield re.compile(".*".join(map(re.escape, pieces)))


def test_errors_are_real():
    """Each text of the page on trouble is one that the source can say."""
    patterns = list(message_patterns())
    assert len(patterns) > 80
    wrong = [text for row in table("docs/troubleshooting.md", "## By the text of the error") for text in code(row[0])
             if not any(pattern.fullmatch(text) for pattern in patterns)]
    assert wrong == []
