#!/usr/bin/env bash
# Kills the services (release builds) and cuts their power at random moments, under load and while keys are rotated, and
# asks afterwards for everything that was acknowledged. Prints how fast they were ready again. The tests of CI do the same
# with few cycles.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/crash.sh [--cycles N] [--cuts N] [--seed N]
  --cycles N  kill -9 cycles (200)
  --cuts N    power cuts (50)
  --seed N    what clients and faults do; printed at each run, to repeat one
TEXT
}
die() { echo "crash: $*" >&2; exit 1; }

cycles=200 cuts=50 seed=''
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --cycles | --cuts | --seed)
            [[ ${2-} =~ ^[0-9]+$ ]] || die "$1 needs a number; see --help"
            printf -v "${1#--}" %s "$2"; shift 2 ;;
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
if [[ $seed ]]; then export SPLITVAULT_CRASH_SEED=$seed; fi
# One run at a time: each would slow the other down, and the times be worth nothing.
cargo test --locked -q -p system-tests --test suite -- --nocapture --test-threads=1 \
    services_killed_at_any_moment power_cut_at_any_moment
