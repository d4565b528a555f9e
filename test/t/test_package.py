"""What leaves the house: the Debian package, PGXN's META.json, the archive of a release."""

import json
import os
import re
import subprocess
import tarfile
import zipfile

import pytest

import tpmtest

ROOT = tpmtest.ROOT
MAJOR = re.search(r"\d+", subprocess.check_output([os.environ.get("PG_CONFIG") or "pg_config", "--version"], text=True))[0]
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+)?")


def run(*command, **options):
    """Output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module", name="meta")
def meta_fixture():
    """META.json, which must be JSON."""
    return json.loads((ROOT / "META.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", name="deb")
def deb_fixture(tmp_path_factory):
    """The package's file, built from the tree as it stands; `test/deb` fails where lintian speaks."""
    out = tmp_path_factory.mktemp("deb")
    run(ROOT / "test" / "deb", out)
    major = MAJOR
    packages = list(out.glob(f"postgresql-{major}-tpm-fdw_*.deb"))
    assert len(packages) == 1, list(out.iterdir())
    return packages[0]


def test_meta_follows_pgxns_spec(meta):
    """PGXN Meta Spec 1.0.0: what must be there, and the form of what is."""
    for name in "name", "version", "abstract", "maintainer", "license", "provides", "meta-spec":
        assert meta.get(name), name
    assert re.fullmatch(r"[^\\/\s\x00-\x1f]{2,}", meta["name"])
    assert SEMVER.fullmatch(meta["version"])
    assert meta["meta-spec"]["version"] == "1.0.0"
    assert re.fullmatch(r"https?://(www\.)?pgxn\.org/meta/spec\.txt", meta["meta-spec"]["url"])
    assert meta["license"] == "postgresql"
    assert meta["release_status"] in ("stable", "testing", "unstable")
    assert re.fullmatch(r".+ <[^<>@]+@[^<>@]+>", meta["maintainer"])
    assert all(isinstance(tag, str) and len(tag) < 256 for tag in meta["tags"])
    known = {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec", "description",
             "generated_by", "tags", "no_index", "prereqs", "release_status", "resources"}
    assert set(meta) <= known or all(name.lower().startswith("x_") for name in set(meta) - known)
    for extension in meta["provides"].values():
        assert SEMVER.fullmatch(extension["version"])
        assert (ROOT / extension["file"]).is_file()
        assert (ROOT / extension["docfile"]).is_file()
    for phase, relations in meta["prereqs"].items():
        assert phase in ("configure", "build", "test", "runtime", "develop")
        for relation, needs in relations.items():
            assert relation in ("requires", "recommends", "suggests", "conflicts")
            assert all(SEMVER.fullmatch(version) for version in needs.values())


def test_one_version_everywhere(meta):
    """The control file, META.json and Debian's changelog name the same version."""
    control = (ROOT / "tpm_fdw.control").read_text(encoding="utf-8")
    version = re.search(r"default_version = '(.+)'", control)[1]
    assert meta["version"] == meta["provides"]["tpm_fdw"]["version"] == f"{version}.0"
    assert (ROOT / "sql" / "extension" / f"tpm_fdw--{version}.sql").is_file()
    changelog = (ROOT / "debian" / "changelog").read_text(encoding="utf-8")
    assert re.match(r"tpm-fdw \((.+)-\d+\)", changelog)[1] == meta["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"comment = '(.+)'", control)[1] == meta["abstract"]


def test_control_is_made_of_control_in():
    """debian/control is control.in for PostgreSQL 15, so that nobody edits the wrong one."""
    made = (ROOT / "debian" / "control.in").read_text(encoding="utf-8").replace("PGVERSION", "15")
    assert (ROOT / "debian" / "control").read_text(encoding="utf-8") == made


@pytest.mark.long
def test_package_holds_the_right_files(deb, tmp_path):
    """Unpacked as dpkg would, it holds the library, the scripts and the documents, and nothing else."""
    run("dpkg-deb", "-x", deb, tmp_path)
    major = MAJOR
    doc = f"usr/share/doc/postgresql-{major}-tpm-fdw"
    scripts = {f"usr/share/postgresql/{major}/extension/{path.name}"
               for path in (ROOT / "sql" / "extension").glob("tpm_fdw--*.sql")}
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert scripts
    assert files - {name for name in files if name.startswith(doc)} == scripts | {
        f"usr/lib/postgresql/{major}/lib/tpm_fdw.so",
        f"usr/share/postgresql/{major}/extension/tpm_fdw.control",
        f"usr/share/lintian/overrides/postgresql-{major}-tpm-fdw",
    }
    assert {f"{doc}/README.md.gz", f"{doc}/changelog.gz", f"{doc}/changelog.Debian.gz", f"{doc}/copyright"} <= files
    # dpkg's helpers compress what is long
    pages = {f"{doc}/docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages and pages <= {name.removesuffix(".gz") for name in files}
    for name in scripts:
        shipped = (tmp_path / name).read_text(encoding="utf-8")
        assert shipped == (ROOT / "sql" / "extension" / name.rsplit("/", 1)[1]).read_text(encoding="utf-8")


@pytest.mark.long
def test_package_depends_on_its_postgresql(deb):
    """A library for one major version must not be installed beside another."""
    depends = run("dpkg-deb", "-f", deb, "Depends")
    assert f"postgresql-{MAJOR} (" in depends
    assert "libcurl" in depends and "libyaml" in depends


@pytest.mark.long
def test_packaged_files_work(deb, tmp_path, sandbox):
    """A server that sees the package's files where dpkg puts them answers a query."""
    run("dpkg-deb", "-x", deb, tmp_path)
    for path in tmp_path, tmp_path.parent, tmp_path.parent.parent:
        path.chmod(0o755)
    mounts = [f"mount --bind {file} /{file.relative_to(tmp_path)}"
              for part in ("lib", "share") for file in (tmp_path / "usr" / part / "postgresql").rglob("tpm_fdw*")]
    assert len(mounts) == 3
    cluster = tpmtest.Cluster().start_in(" && ".join(mounts))
    try:
        connection = cluster.connect()
        tpmtest.setup_server(connection, sandbox, schema="tpm")
        assert tpmtest.rows(connection, "SELECT count(*) FROM tpm.third_parties") == [(300,)]
        connection.close()
    finally:
        cluster.destroy()


def test_dist_is_what_pgxn_takes(meta, tmp_path):
    """One directory, name-version, in both archives, with META.json and every committed file."""
    if not (ROOT / ".git").exists():
        pytest.skip("without git's history: releases are made of it")
    run(ROOT / "test" / "dist", tmp_path)
    name = f"{meta['name']}-{meta['version']}"
    committed = set(run("git", "ls-tree", "-r", "--name-only", "HEAD", cwd=ROOT).splitlines())
    with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
        zipped = {entry for entry in archive.namelist() if not entry.endswith("/")}
    with tarfile.open(tmp_path / f"{name}.tar.gz") as archive:
        tarred = {member.name for member in archive.getmembers() if not member.isdir()}
    assert zipped == tarred == {f"{name}/{path}" for path in committed}
    assert f"{name}/META.json" in zipped


def test_installcheck_needs_nothing_but_a_server(cluster):
    """It starts the sandbox that its scripts ask."""
    environment = {name: value for name, value in os.environ.items() if name != "TPM_SANDBOX_PORT"}
    environment.update(PGHOST=str(cluster.base), PGPORT=str(cluster.port), PGUSER="postgres")
    assert "4 passed, 0 failed" in run("make", "-s", "installcheck", cwd=ROOT, env=environment)
