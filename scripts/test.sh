#!/usr/bin/env bash
# All tests. Makes what it needs in target/: a Python environment for the independent implementation and the thief, the
# command line, and the services once as they are and once with the weaknesses that the controls of the drills need. Starts
# a PostgreSQL server of its own (scripts/postgres.sh) and ends it.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/test.sh [--engine sqlite|postgres] [--system [ARGUMENTS…]]
  --engine    the database below the services in the system tests (default: sqlite, and a chosen part of them on
              postgres, too). The tests of the stores always run on both
  --system    only the system tests; ARGUMENTS go to the test binary, as a part of a test's name
TEXT
}
die() { echo "test: $*" >&2; exit 1; }
step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

[[ ${1-} != --help ]] || { usage; exit 0; }
cd "$(dirname "$0")/.."
[[ ${SPLITVAULT_TEST_POSTGRES-} ]] || exec scripts/postgres.sh run scripts/test.sh "$@"
engine='' only_system=''
while (($#)) && [[ ! $only_system ]]; do
    case $1 in
        --engine)
            [[ ${2-} == sqlite || ${2-} == postgres ]] || die "--engine is sqlite or postgres"
            engine=$2; shift 2 ;;
        --system) only_system=yes; shift ;;
        *) die "unknown option $1; see --help" ;;
    esac
done
export SPLITVAULT_TEST_ENGINE=${engine:-sqlite}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# Tests of the whole system wait for processes and leases more than they compute.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((($(nproc) * 3 + 1) / 2))}
for tool in cargo openssl python3 c++ curl jq script; do
    command -v $tool >/dev/null || die "$tool is missing; install it and run this again"
done
python3 -c 'import sqlite3, venv, ensurepip' 2>/dev/null ||
    die "python3 lacks sqlite3, venv or ensurepip; install them (Debian: apt-get install python3-venv)"

step "Python environment"
venv=$target/venv requirements=tests/protocol/requirements.txt
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
    # The target directory may be shared with other programs: only what bears our mark is removed.
    [[ ! -e $venv || -e $venv/requirements.txt ]] || die "$venv was not made by this script; move it away"
    rm -rf "$venv"
    mkdir -p "$venv"
    : >"$venv/requirements.txt"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" ||
        die "pip could not install $requirements; connect to a package index (or set PIP_INDEX_URL)"
    cp "$requirements" "$venv/requirements.txt"
fi
export SPLITVAULT_PYTHON=$venv/bin/python3 PYTHONDONTWRITEBYTECODE=1

# An ordinary build of each service, one package at a time, as it is released: a joint build, such as that of the tests
# below, unifies the features and gives each service the other's half. `cargo test` builds into the same place, so the
# system tests get copies.
build() { # FOLDER, further arguments of cargo
    mkdir -p "$1"
    local service
    for service in encrypted-vault master-key-manager; do
        cargo build --locked --quiet -p "$service" "${@:2}"
        cp --remove-destination "$target/debug/$service" "$1/"
    done
}
step "services, with and without weaknesses"
build "$target/sabotaged" --features sabotage
build "$target/services"
cargo build --locked --quiet -p splitvault-cli
cp --remove-destination "$target/debug/splitvault" "$target/services/"
for service in encrypted-vault master-key-manager; do
    grep -qaF SPLITVAULT_SABOTAGE "$target/sabotaged/$service" || die "the weaknesses of $service are not built in"
    ! grep -qaF SPLITVAULT_SABOTAGE "$target/services/$service" || die "the weaknesses of $service are built in"
done
export SPLITVAULT_BIN_DIR=$target/services SPLITVAULT_SABOTAGED_BIN_DIR=$target/sabotaged

if [[ $only_system ]]; then
    step "system tests"
    cargo test --locked --quiet -p system-tests --test suite -- "$@"
    exit
fi

step "protocol and thief in Python"
"$SPLITVAULT_PYTHON" tests/protocol/check_vectors.py | tail -n 1
"$SPLITVAULT_PYTHON" tests/thief/self_test.py | tail -n 1

step "client for Python"
scripts/test-python.sh

step "all tests in Rust"
cargo test --locked --quiet --workspace

step "the policy against Cedar"
cargo test --locked --quiet --manifest-path tests/policy-oracle/Cargo.toml --target-dir "$target"

if [[ ! $engine ]]; then
    step "a part of the system tests on PostgreSQL: the thief, revocation, crashes, rotation"
    # The same packages as above, so that nothing is built again.
    SPLITVAULT_TEST_ENGINE=postgres cargo test --locked --quiet --workspace --test suite -- \
        security::{both_stolen,manager_stolen,vault_stolen,vault_database_,value_guessed,stolen_token,tables_read,restored,revoked_means_refused} \
        security::{kill_cycles,database_killed} system::{crash,database_,rotation,two_managers,updated}
fi

step "fuzz targets, for a moment each, and their control"
# A fixed seed: what a random one finds one day is in yesterday's code, and would fail somebody else's change.
scripts/fuzz.sh --seconds 2 --seed 1
scripts/fuzz.sh --control
printf '\nAll tests passed in %d s.\n' "$SECONDS"
