"""test/house fails for what it is there for: a small tree that is good, then one thing wrong in it at a time."""

import shutil
import subprocess

import pytest

import tpmtest

HEAD = """/*
 * {name}
 *		What it is.
 *
 * Promises: something.  Never: something else.
 * Locks: none.
 */
"""

# what looks like a violation and is none is in here, too
GOOD = {
    "CONTRIBUTING.md": """# Contributing

| what | with |
| --- | --- |
| `attic/` | no table of rooms |

## The house

| room | what lives there |
| --- | --- |
| `src/` itself | the handler |
| `shop/` | what sells |
| `store/`, with `store/shelf/` | what keeps |

| layer | files |
| --- | --- |
| `cellar/` | no table of rooms |
""",
    "src/compat.h": """#include <stddef.h>
#define tpm_least(a, b) ((a) < (b) ? (a) : (b))
""",
    "src/tpm_fdw.h": "#define TPM_NAME \"tpm_fdw\"\n",
    "src/tpm_fdw.c": """#include "compat.h"
#include "shop/shop.h"
#include "store/shelf/shelf.h"
int tpm_setting;
int tpm_main(void)
{
	return tpm_sell(1) + tpm_shelf(tpm_setting);
}
""",
    "src/shop/shop.h": HEAD.format(name="shop.h") + """
/* extern int (*tpm_hook) (int); */
extern int tpm_sell(int number);
extern int tpm_sold;
""",
    "src/shop/shop_internal.h": "#define SHOP_MOST 3\n",
    "src/shop/shop.c": """#include "shop/shop.h"
#include "shop/shop_internal.h"
#include "store/store.h"
#include "store/store_pages/shop.h"
#include "tpm_fdw.h"
/* as find(int number) in store.c does */
static int sell_one(int number);
static int price = 0;
int tpm_sold;
static int
sell_one(int number)
{
	static int sold = 0;

	return tpm_keep(number) + sold++ + price;
}
static int find_price(int number) { return number; }
int
tpm_sell(int number)
{
	return tpm_each(sell_one, tpm_price(number)) + find_price(SHOP_MOST);
}
""",
    "src/store/store.h": HEAD.format(name="store.h") + """
#define STORE_STATIC(name) \\
static int name(int number)

typedef int (*TpmWork) (int number);
typedef struct TpmShelf { TpmWork work; } TpmShelf;
extern int tpm_keep(int number);
extern int tpm_each(TpmWork work, int number);
extern int tpm_all(int (*work) (int number), int number);
extern int (*tpm_work_of(int number)) (int);
extern const TpmShelf *tpm_shelves;
static inline int
tpm_price(int number)
{
	return number;
}
""",
    "src/store/store.c": """#include "store/store.h"
#include "store/shelf/shelf_internal.h"
/* #include "shop/shop.h" */
const TpmShelf *tpm_shelves = NULL_SHELF;
static const char *const text = "static int find_price(int number) { tpm_sell(";
static int price = 1;
static int find(int number) { return number + price + *text; }
int tpm_keep(int number) { return find(number) + tpm_price(number); }
int tpm_each(TpmWork work, int number) { return work(number); }
int tpm_all(int (*work) (int number), int number) { return work(number); }
int (*tpm_work_of(int number)) (int) { return number ? find : tpm_keep; }
#if NULL_SHELF
PG_TRY();
{
	find(1);
}
PG_CATCH();
{
	if (price)
	{
		give_back();
	}
	PG_RE_THROW();
}
PG_END_TRY();
PG_TRY();
{
	find(2);
}
PG_CATCH();
{
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
}
PG_END_TRY();
PG_TRY();
{
	find(3);
}
PG_FINALLY();
{
	give_back();
}
PG_END_TRY();
#endif
""",
    "src/store/shelf/shelf_internal.h": "#define NULL_SHELF 0\n",
    "src/store/shelf/shelf.h": "extern int tpm_shelf(int number);\n",
    "src/store/shelf/shelf.c": """#include "store/shelf/shelf.h"
#include "store/store.h"
int tpm_shelf(int number) { return tpm_keep(number); }
""",
    # a header of somebody else's, in a folder of its own
    "server/store/store_pages/shop.h": "#define SERVER_HAS_A_SHOP 1\n",
    "src/leftover/was_built_once.o": "",
}


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """The good tree, compiled once."""
    root = tmp_path_factory.mktemp("house") / "good"
    build(root, GOOD)
    return root


def build(root, files):
    """Writes files and compiles what is of C, or all of it where a header is among them."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    every = any(name.endswith(".h") for name in files)
    for path in sorted(root.glob("src/**/*.c")):
        if every or str(path.relative_to(root)) in files:
            subprocess.run(["gcc", "-std=gnu99", "-c", "-I", "src", "-I", "server", path, "-o", path.with_suffix(".o")], cwd=root, check=True)


def said(root):
    """What test/house says of the rooms, line by line; it exits with 1 if it says anything."""
    run = subprocess.run([tpmtest.ROOT / "test" / "house", "--rooms", "--root", root], text=True, capture_output=True, check=False)
    assert run.stderr == "" and run.returncode == bool(run.stdout)
    return run.stdout.splitlines()


def test_the_good_tree_is_good(good):
    assert said(good) == []


STORE, SHELF, SHOP = "src/store/store.c", "src/store/shelf/shelf.c", "src/shop/shop.c"
CAUGHT = "catches an error without a subtransaction, and does not always throw it again"
TABLE = "CONTRIBUTING.md"


@pytest.mark.parametrize("file, old, new, expected", [
    # includes
    pytest.param(STORE, "", '#include "shop/shop.h"\n', f"{STORE}:1: includes src/shop/shop.h, which lies above", id="include up"),
    pytest.param(SHELF, "", '#include "shop/shop.h"\n', f"{SHELF}:1: includes src/shop/shop.h, which lies above",
                 id="include up from a folder in a room"),
    pytest.param("src/store/store.h", "typedef int", '#include "shop/shop.h"\ntypedef int',
                 "src/store/store.h:12: includes src/shop/shop.h, which lies above", id="include up in a header"),
    pytest.param("src/compat.h", "", '#include "store/store.h"\n',
                 "src/compat.h:1: lies under all rooms and includes src/store/store.h", id="compat.h includes ours"),
    pytest.param("src/compat.h", "", '#include "tpm_fdw.h"\n',
                 "src/compat.h:1: lies under all rooms and includes src/tpm_fdw.h", id="compat.h includes tpm_fdw.h"),
    pytest.param("src/tpm_fdw.h", "", '#include "shop/shop_internal.h"\n',
                 "src/tpm_fdw.h:1: lies under all rooms and includes src/shop/shop_internal.h", id="tpm_fdw.h includes ours"),
    pytest.param(SHOP, '"shop/shop_internal.h"', '"shop_internal.h"',
                 f'{SHOP}:2: shop_internal.h is not written from src/: "shop/shop_internal.h"', id="bare include"),
    pytest.param(STORE, '"store/shelf/shelf_internal.h"', '"shelf/shelf_internal.h"',
                 f'{STORE}:2: shelf/shelf_internal.h is not written from src/: "store/shelf/shelf_internal.h"', id="include from here"),
    pytest.param(SHOP, '"store/store.h"', '"../store/store.h"',
                 f'{SHOP}:3: ../store/store.h is not written from src/: "store/store.h"', id="include by way of .."),
    pytest.param(SHOP, '"store/store.h"', "<store/store.h>",
                 f'{SHOP}:3: store/store.h is not written from src/: "store/store.h"', id="include as a system's header"),
    pytest.param(SHOP, "", '#include "store/shelf/shelf_internal.h"\n',
                 f"{SHOP}:1: includes src/store/shelf/shelf_internal.h, which is for its own room", id="_internal.h from outside"),
    pytest.param("src/tpm_fdw.c", "", '#include "shop/shop_internal.h"\n',
                 "src/tpm_fdw.c:1: includes src/shop/shop_internal.h, which is for its own room", id="_internal.h from src/"),
    # symbols
    pytest.param(STORE, "return find(number) +", "extern int tpm_sell(int); return tpm_sell(number) +",
                 f"{STORE}:8: uses tpm_sell of {SHOP}, which lies above", id="call up"),
    pytest.param(SHELF, "int tpm_shelf", "extern int tpm_sell(int);\nint (*const tpm_sellers[]) (int) = {tpm_sell};\nint tpm_shelf",
                 f"{SHELF}:3: uses tpm_sell of {SHOP}, which lies above", id="address of a function up"),
    pytest.param("src/store/store.h", "return number;", "extern int tpm_sell(int); return tpm_sell(number);",
                 f"{STORE}:1: uses tpm_sell of {SHOP}, which lies above", id="call up in an inline function"),
    pytest.param(STORE, "return find(number) +", "extern int tpm_sold; return tpm_sold +",
                 f"{STORE}:8: uses tpm_sold of {SHOP}, which lies above", id="variable up"),
    pytest.param(STORE, "return find(number) +", "extern int tpm_setting; return tpm_setting +",
                 f"{STORE}:8: uses tpm_setting of src/tpm_fdw.c, which lies above", id="variable of src/"),
    pytest.param(SHOP, "return tpm_keep(number) +", "extern int tpm_main(void); return tpm_main() +",
                 f"{SHOP}:15: uses tpm_main of src/tpm_fdw.c, which lies above", id="function of src/"),
    pytest.param("src/compat.h", "#define tpm_least", "extern int tpm_keep(int);\n#define tpm_least",
                 f"src/compat.h:2: lies under all rooms and declares tpm_keep of {STORE}", id="compat.h declares ours"),
    pytest.param("src/tpm_fdw.h", "#define", "extern int tpm_setting;\n#define",
                 "src/tpm_fdw.h:1: lies under all rooms and declares tpm_setting of src/tpm_fdw.c", id="tpm_fdw.h declares a setting"),
    # the table
    pytest.param(TABLE, "| `store/`, with `store/shelf/` | what keeps |\n", "",
                 "src/store:1: is a room that is not in the table of CONTRIBUTING.md", id="room not in the table"),
    pytest.param(TABLE, "| `shop/`", "| `attic/` | nothing |\n| `shop/`",
                 f"{TABLE}:1: the room attic/ has no folder src/attic/", id="room without a folder"),
    pytest.param(TABLE, "| `shop/`", "| `leftover/` | objects |\n| `shop/`",
                 f"{TABLE}:1: the room leftover/ has no folder src/leftover/", id="room of objects alone"),
    pytest.param(TABLE, "| `shop/`", "| `shop/` | again |\n| `shop/`",
                 f"{TABLE}:1: the room shop/ stands twice in the table", id="room twice in the table"),
    pytest.param(TABLE, "| `src/` itself | the handler |\n", "",
                 f"{TABLE}:1: has no table of rooms that begins with src/", id="src/ not in the table"),
    pytest.param(TABLE, "| room |", "| rooms |", f"{TABLE}:1: has no table of rooms that begins with src/", id="no table"),
    pytest.param("src/other.c", "", "int tpm_other;\n",
                 "src/other.c:1: belongs into a room: src/ itself has no file of C but tpm_fdw.c", id="file of C in src/"),
    # names
    pytest.param(STORE, "static int find(int number)", "static int find_price(int number) { return number; }\nstatic int find(int number)",
                 f"{STORE}:7: find_price() is in {SHOP}, too", id="static name in two files"),
    pytest.param(STORE, "static int find(", "static const char *\nfind_price\n(int number) { return text; }\nstatic int find(",
                 f"{STORE}:8: find_price() is in {SHOP}, too", id="static name over two lines"),
    pytest.param(STORE, "static int find(", "static int tpm_main(int number) { return number; }\nstatic int find(",
                 f"src/tpm_fdw.c:5: tpm_main() is in {STORE}, too", id="static name that another file exports"),
    pytest.param("src/shop/shop.h", "extern int tpm_sell", "static inline int find(int number) { return number; }\nextern int tpm_sell",
                 f"{STORE}:7: find() is in src/shop/shop.h, too", id="static name in a header"),
    # function pointers
    pytest.param("src/shop/shop.h", "extern int tpm_sell", "extern int (*tpm_hook) (int number);\nextern int tpm_sell",
                 "src/shop/shop.h:10: declares a global function pointer, tpm_hook", id="global function pointer"),
    pytest.param("src/shop/shop.h", "extern int tpm_sell", "extern int (*const tpm_hooks[2]) (int number);\nextern int tpm_sell",
                 "src/shop/shop.h:10: declares a global function pointer, tpm_hooks", id="array of function pointers"),
    pytest.param("src/store/store.h", "extern int tpm_keep", "extern TpmWork tpm_hook;\nextern int tpm_keep",
                 "src/store/store.h:14: declares a global function pointer, tpm_hook", id="global function pointer by its type"),
    pytest.param("src/store/store.h", "extern int tpm_keep", "typedef const TpmWork TpmHook;\nextern TpmHook tpm_hooks[3];\nextern int tpm_keep",
                 "src/store/store.h:15: declares a global function pointer, tpm_hooks", id="function pointer by a type of a type"),
    # errors that are caught
    pytest.param(STORE, "\t}\n\tPG_RE_THROW();\n", "\t\tPG_RE_THROW();\n\t}\n\tFlushErrorState();\n", f"{STORE}:17: {CAUGHT}",
                 id="error thrown again on one path only"),
    pytest.param(STORE, "give_back();\n\t}", "return;\n\t}", f"{STORE}:17: {CAUGHT}", id="way out of a caught error"),
    pytest.param(STORE, "\tPG_RE_THROW();\n", "", f"{STORE}:17: {CAUGHT}", id="caught error that goes nowhere"),
    pytest.param(STORE, "\tRollbackAndReleaseCurrentSubTransaction();\n", "", f"{STORE}:30: {CAUGHT}",
                 id="caught error without a subtransaction"),
    # heads
    *(pytest.param("src/store/store.h", f"{word}:", "says", f'src/store/store.h:1: the head of the room does not say "{word}:"',
                   id=f"head without {word}") for word in ("Promises", "Never", "Locks")),
])
def test_each_rule_fails(good, tmp_path, file, old, new, expected):
    """One edit; a line that names it and its file, beside what else it may break."""
    root = shutil.copytree(good, tmp_path / "tree")
    text = GOOD.get(file, "")
    assert old in text
    build(root, {file: text.replace(old, new, 1)})
    assert expected in said(root)


def test_a_room_without_its_head(good, tmp_path):
    """Neither a header of another name nor one of a folder inside the room is the head."""
    root = shutil.copytree(good, tmp_path / "tree")
    build(root, {name: GOOD["src/shop/shop.h"] for name in ("src/attic/box.h", "src/attic/attic/attic.h")})
    assert "src/attic/attic.h:1: is not there: the head of its room" in said(root)


def test_a_tree_that_was_not_built(good, tmp_path):
    """Without objects nothing is known of what runs up, so it is no success."""
    root = shutil.copytree(good, tmp_path / "tree")
    (root / "src" / "store" / "store.o").unlink()
    assert said(root) == ["src/store/store.c:1: has no object: run make before"]
