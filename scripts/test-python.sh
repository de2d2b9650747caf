#!/usr/bin/env bash
# All tests of the client for Python: builds its wheel, installs that into an environment of its own in target/, checks
# types and style, and runs the tests against the real services.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/test-python.sh [ARGUMENTS…]
  ARGUMENTS go to pytest, as -k part_of_a_name
The services are those in $SPLITVAULT_BIN_DIR, or in target/services, where scripts/test.sh builds them.
TEXT
}
die() { echo "test-python: $*" >&2; exit 1; }

[[ ${1-} != --help ]] || { usage; exit 0; }
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export SPLITVAULT_BIN_DIR=${SPLITVAULT_BIN_DIR:-$target/services} PYTHONDONTWRITEBYTECODE=1
SPLITVAULT_BIN_DIR=$(realpath -m "$SPLITVAULT_BIN_DIR")
for service in encrypted-vault master-key-manager; do
    [[ -x $SPLITVAULT_BIN_DIR/$service ]] || die "$SPLITVAULT_BIN_DIR/$service is missing; scripts/test.sh builds it"
done
for tool in python3 openssl; do
    command -v $tool >/dev/null || die "$tool is missing; install it and run this again"
done
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    die "python3 is older than 3.10, which the examples need, or lacks venv or ensurepip (Debian: apt-get install python3-venv)"

client=clients/python venv=$target/python-client
# What was installed for other requirements, by another Python, or half, is made anew.
wanted=$(python3 --version; cat "$client/tests/requirements.txt" "$client/pyproject.toml")
if [[ $wanted != "$(cat "$venv/made-for" 2>/dev/null)" ]]; then
    [[ ! -e $venv || -e $venv/made-for ]] || die "$venv was not made by this script; move it away"
    rm -rf "$venv"
    mkdir -p "$venv"
    : >"$venv/made-for"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$client/tests/requirements.txt" 'cryptography>=42' 'httpx>=0.27,<1' ||
        die "pip could not install what the tests need; connect to a package index (or set PIP_INDEX_URL)"
    printf '%s\n' "$wanted" >"$venv/made-for"
fi
pip() { "$venv/bin/pip" --quiet --disable-pip-version-check "$@"; }

wheels=$(mktemp -d "$target/python-wheel.XXXXXX")
trap 'rm -rf "$wheels"' EXIT
pip wheel --no-deps --no-index --no-build-isolation --wheel-dir "$wheels" "$client"
pip install --no-deps --no-index --force-reinstall "$wheels"/splitvault-*.whl
pip check

cd "$client"
"$venv/bin/ruff" check --quiet --no-cache .
# An example may print.
"$venv/bin/ruff" check --quiet --no-cache --config pyproject.toml --extend-ignore T201 ../../examples/python
"$venv/bin/ruff" format --quiet --no-cache --check --config pyproject.toml . ../../examples/python
# The wheel that was installed, as a program that depends on it sees it.
"$venv/bin/mypy" --cache-dir "$venv/mypy" | tail -n 1
"$venv/bin/python" -c 'import sys, splitvault; sys.exit(not splitvault.__file__.startswith(sys.prefix))' ||
    die "the tests would not look at the wheel"
"$venv/bin/python" -m pytest -q -p no:cacheprovider "$@"
