#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Fetches the headers that a DPDK device driver needs and that libdpdk-dev leaves out.

They come from the source package of the version installed, through apt and its signatures:
the configured package sources are repeated as deb-src in a private apt configuration, so nothing
of the machine's own is changed. Usage: fetch_driver_headers.py CACHE_DIR; prints the include
directory, or says on stderr why there is none and exits 1.
"""
import glob
import os
import re
import subprocess
import sys
import tarfile

HEADERS = {
    "lib/ethdev/ethdev_driver.h",
    "lib/ethdev/ethdev_vdev.h",
    "lib/eal/include/dev_driver.h",
    "lib/eal/include/bus_driver.h",
    "drivers/bus/vdev/bus_vdev_driver.h",
}
TIMEOUT_S = 180


class Unavailable(Exception):
    pass


def run(args, **kw):
    try:
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT_S, text=True, **kw)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Unavailable(f"{args[0]}: {e}") from e
    return done.returncode, done.stdout


def installed_version():
    code, out = run(["dpkg-query", "-W", "-f", "${source:Version}", "libdpdk-dev"])
    if code or not out:
        raise Unavailable("libdpdk-dev is not a Debian package here")
    return out.strip()


def one_line_sources(text):
    """deb lines of a sources.list, as (options, uri, suite and components)."""
    for line in text.splitlines():
        m = re.match(r"\s*deb(?:-src)?\s+(\[[^]]*\]\s+)?(\S+)\s+(.+?)\s*(#.*)?$", line)
        if m:
            options = re.sub(r"\barch=\S+\s*", "", m.group(1) or "").replace("[]", "").strip()
            yield f"deb-src {options} {m.group(2)} {m.group(3)}"


def deb822_sources(text):
    """Stanzas of a .sources file, as one-line deb-src entries."""
    for stanza in re.split(r"\n\s*\n", text):
        fields = {}
        key = None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += " " + line.strip()
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        signed = fields.get("signed-by", "")
        option = f"[signed-by={signed}] " if signed.startswith("/") else ""
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield f"deb-src {option}{uri} {suite} {fields.get('components', '')}".rstrip()


def configured_sources():
    found = []
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            with open(path, encoding="utf-8") as f:
                text = f.read()
        except OSError:
            continue
        if path.endswith(".sources"):
            found += deb822_sources(text)
        elif path.endswith(".list"):
            found += one_line_sources(text)
    # Sources of others (browsers, cloud tools) do not carry DPDK and often have no deb-src.
    code, policy = run(["apt-cache", "policy", "libdpdk-dev"])
    uris = set(re.findall(r"\s(https?://\S+|file:\S+)\s", policy)) if code == 0 else set()
    known = [s for s in found if any(u.rstrip("/") in s for u in uris)]
    return list(dict.fromkeys(known or found))


def fetch_source(cache, version):
    apt = os.path.join(cache, "apt")
    for d in ("lists/partial", "archives/partial"):
        os.makedirs(os.path.join(apt, d), exist_ok=True)
    sources = configured_sources()
    if not sources:
        raise Unavailable("no package sources are configured")
    with open(os.path.join(apt, "sources.list"), "w", encoding="utf-8") as f:
        f.write("\n".join(sources) + "\n")
    conf = os.path.join(apt, "apt.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
                f'Dir::State::lists "{apt}/lists";\nDir::Cache "{apt}";\n'
                'APT::Sandbox::User "root";\nAcquire::Retries "2";\nAcquire::http::Timeout "20";\n'
                'Acquire::Languages "none";\n')
    env = dict(os.environ, APT_CONFIG=conf, LC_ALL="C")
    run(["apt-get", "-q", "update"], env=env)
    upstream = version.split("-")[0].split(":")[-1]
    release = ".".join(upstream.split(".")[:2])
    # The very version, or, when the archive has moved on since it was installed, another of the
    # same release: within a release these headers do not change (the ABI is frozen).
    for package in (f"dpdk={version}", "dpdk"):
        code, out = run(["apt-get", "-q", "source", "--download-only", package], env=env, cwd=apt)
        if code == 0:
            break
    if code:
        last = [l for l in out.splitlines() if l.startswith("E:")] or out.splitlines()[-1:]
        raise Unavailable(f"apt-get source dpdk={version}: " + " ".join(last))
    archives = [a for a in glob.glob(os.path.join(apt, "dpdk_*.orig.tar.*"))
                if os.path.basename(a).startswith(f"dpdk_{release}") and not a.endswith(".asc")]
    if not archives:
        raise Unavailable(f"no source archive of DPDK {release} among the package sources")
    return archives[0]


def extract(archive, include):
    wanted = set(HEADERS)
    os.makedirs(include, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.split("/", 1)[-1]
            if name in wanted and member.isfile():
                with open(os.path.join(include, os.path.basename(name)), "wb") as f:
                    f.write(tar.extractfile(member).read())
                wanted.discard(name)
    if wanted:
        raise Unavailable("not in the source package: " + ", ".join(sorted(wanted)))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    cache = os.path.abspath(sys.argv[1])
    try:
        version = installed_version()
        include = os.path.join(cache, "include-" + re.sub(r"[^\w.+-]", "_", version))
        if not all(os.path.exists(os.path.join(include, os.path.basename(h))) for h in HEADERS):
            extract(fetch_source(cache, version), include)
    except Unavailable as e:
        print(e, file=sys.stderr)
        return 1
    print(include)
    return 0


if __name__ == "__main__":
    sys.exit(main())
