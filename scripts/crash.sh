#!/usr/bin/env bash
# Kills the services and cuts their power at random moments, under load, and asks afterwards for everything that was
# acknowledged. Prints how fast they were ready again. The tests of CI do the same with few cycles.
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

export SPLITVAULT_KILL_CYCLES=$cycles SPLITVAULT_POWER_CUTS=$cuts
if [[ $seed ]]; then export SPLITVAULT_CRASH_SEED=$seed; fi
# One run at a time: each would slow the other down, and the times be worth nothing.
exec "$(dirname "$0")/test.sh" --system services_killed_at_any_moment power_cut_at_any_moment --nocapture --test-threads=1
