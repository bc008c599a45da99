"""Rules of the house that neither rustfmt nor clippy knows. Exits 1 with a line for each breach."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

# May use: arch <- platform <- base <- mem <- vfs <- fs, net <- sentry <- runtime, benches.
LAYERS = {
    "ringfence-arch": set(),
    "ringfence-platform": {"ringfence-arch"},
    "sentry-base": {"ringfence-arch", "ringfence-platform"},
    "sentry-mem": {"ringfence-arch", "ringfence-platform", "sentry-base"},
}
LAYERS["sentry-vfs"] = LAYERS["sentry-mem"] | {"sentry-mem"}
LAYERS["sentry-fs"] = LAYERS["sentry-vfs"] | {"sentry-vfs"}
LAYERS["sentry-net"] = LAYERS["sentry-fs"]
LAYERS["sentry"] = LAYERS["sentry-fs"] | {"sentry-fs", "sentry-net"}
LAYERS["ringfence"] = LAYERS["sentry"] | {"sentry"}
LAYERS["benches"] = LAYERS["ringfence"] | {"ringfence"}
LAYERS["guests"] = set()

# Where unsafe code may be; everywhere else the crate must forbid it.
UNSAFE = ("arch/", "platform/", "sentry/guests/")
LICENCES = set(tomllib.loads(pathlib.Path("deny.toml").read_text())["licenses"]["allow"])
LINES_MAX = 800

breaches = []


def breach(text):
    breaches.append(text)


def allowed(licence):
    """Whether an SPDX expression can be met from LICENCES."""
    for choice in re.split(r"\s+OR\s+|/", licence.replace("(", "").replace(")", "")):
        if all(part.split(" WITH ")[0].strip() in LICENCES for part in choice.split(" AND ")):
            return True
    return False


metadata = json.loads(
    subprocess.run(
        ["cargo", "metadata", "--format-version", "1"], check=True, capture_output=True
    ).stdout
)
members = set(metadata["workspace_members"])
for package in metadata["packages"]:
    if package["id"] in members:
        for dependency in package["dependencies"]:
            name = dependency["name"]
            if name in LAYERS and name not in LAYERS[package["name"]] and dependency["kind"] is None:
                breach(f"{package['name']} depends on {name}, which is not below it")
    elif not (package["source"] or "").startswith("registry+"):
        breach(f"{package['name']} comes from {package['source']}, not from the registry")
    elif not package["license"] or not allowed(package["license"]):
        breach(f"licence of {package['name']}: {package['license']}")

files = subprocess.run(["git", "ls-files", "*.rs"], check=True, capture_output=True, text=True).stdout.split()
for name in files:
    text = pathlib.Path(name).read_text()
    lines = text.count("\n")
    if lines > LINES_MAX:
        breach(f"{name} has {lines} lines, more than {LINES_MAX}")
    if not name.startswith(UNSAFE):
        is_test = "/tests/" in name
        if not is_test and re.search(r"^\s*unsafe |[^_]unsafe (\{|fn|impl)", text, re.M):
            breach(f"{name} has unsafe code")
        if re.search(r"/src/(lib|main)\.rs$", name) and "#![forbid(unsafe_code)]" not in text:
            breach(f"{name} does not forbid unsafe code")
        if "cfg(target_arch" in text:
            breach(f"{name} depends on the architecture")

for text in breaches:
    print("FAIL", text)
if breaches:
    sys.exit(1)
print(f"ok layers, licences, unsafe code and sizes of {len(files)} files")
