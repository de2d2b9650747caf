#!/usr/bin/env bash
# Kills the services (release builds) and cuts their power at random moments, under load and while keys are rotated, and
# asks afterwards for everything that was acknowledged; then the same with PostgreSQL below the services, of which the
# servers are killed too. Prints how fast they were ready again. The tests of CI do the same with few cycles.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/crash.sh [--cycles N] [--cuts N] [--seed N]
  --cycles N  kill -9 cycles (200)
  --cuts N    power cuts (50), on SQLite
  --database-kills N  kill -9 cycles of the PostgreSQL servers (100)
  --engine sqlite|postgres  one of the two only
  --seed N    what clients and faults do; printed at each run, to repeat one
TEXT
}
die() { echo "crash: $*" >&2; exit 1; }

cycles=200 cuts=50 database_kills=100 engine='' seed=''
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --cycles | --cuts | --database-kills | --seed)
            [[ ${2-} =~ ^[0-9]+$ ]] || die "$1 needs a number; see --help"
            name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
        --engine)
            [[ ${2-} == sqlite || ${2-} == postgres ]] || die "--engine is sqlite or postgres"
            engine=$2; shift 2 ;;
        *) die "unknown option $1; see --help" ;;
    esac
done

cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
# One package for each build: cargo unifies features over a joint build.
for service in encrypted-vault master-key-manager; do
    cargo build --release --locked -q -p "$service"
done
export SPLITVAULT_BIN_DIR=$target/release SPLITVAULT_KILL_CYCLES=$cycles SPLITVAULT_POWER_CUTS=$cuts
export SPLITVAULT_DATABASE_KILLS=$database_kills
if [[ $seed ]]; then export SPLITVAULT_CRASH_SEED=$seed; fi
# One run at a time: each would slow the other down, and the times be worth nothing.
tests=(cargo test --locked -q -p system-tests --test suite -- --nocapture --test-threads=1 services_killed_at_any_moment)
if [[ $engine != postgres ]]; then
    SPLITVAULT_TEST_ENGINE=sqlite "${tests[@]}" power_cut_at_any_moment
fi
if [[ $engine != sqlite ]]; then
    SPLITVAULT_TEST_ENGINE=postgres scripts/postgres.sh run "${tests[@]}" database_servers_killed_at_any_moment
fi
