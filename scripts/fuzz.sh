#!/usr/bin/env bash
# Builds the fuzz targets with the stable toolchain and runs them. What a run finds besides is kept in target/fuzz, so
# that the next run goes on from there; an input that breaks a target is named and kept as well.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/fuzz.sh [--seconds N] [--seed N] [--control] [TARGET…]
  --seconds N   how long each target runs (default 60)
  --seed N      the same inputs in each run: this seed, and nothing of what earlier runs have found
  --control     instead: run a target with a planted defect, which must be found
  TARGET…       which targets (default all of fuzz/fuzz_targets)
Needs a C++ compiler (g++ or clang++) for libFuzzer.
TEXT
}
die() { echo "fuzz: $*" >&2; exit 1; }

seconds=60 seed='' control='' targets=()
while (($#)); do
    case $1 in
        --seconds) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || die "--seconds takes a number"; seconds=$2; shift 2 ;;
        --seed) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || die "--seed takes a number above 0"; seed=$2; shift 2 ;;
        --control) control=yes; shift ;;
        --help) usage; exit 0 ;;
        -*) die "unknown option $1; see --help" ;;
        *) targets+=("$1"); shift ;;
    esac
done
cd "$(dirname "$0")/.."
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    die "a C++ compiler is missing, which libFuzzer needs; install one (Debian: apt-get install g++)"
((${#targets[@]})) || mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs)
for target in "${targets[@]}"; do [[ -f fuzz/fuzz_targets/$target.rs ]] || die "there is no target $target"; done

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz sets on nightly. --target keeps the flags away from build scripts and macros.
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
flags+=' -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing'
flags+=' -Ccodegen-units=1'
(cd fuzz && RUSTFLAGS=$flags cargo build --release --locked --quiet --target "$host" --target-dir "$work")

found=$work/found broken=$work/broken
[[ -z $seed && -z $control ]] || { found=$work/forgotten; rm -rf "$found"; }
# What the control breaks is thrown away, and must not lie beside an input that somebody still needs.
[[ -z $control ]] || broken=$work/broken-on-purpose
run() { # TARGET
    mkdir -p "$found/$1" "$broken/$1"
    "$work/$host/release/$1" -seed="${seed:-0}" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 \
        -artifact_prefix="$broken/$1/" -print_final_stats=1 "$found/$1" "fuzz/seeds/$1" 2>&1
}

if [[ $control ]]; then
    if said=$(SPLITVAULT_FUZZ_PLANTED=1 run base64); then die "the planted defect was not found in $seconds s"; fi
    grep -q 'panicked at' <<<"$said" || die "the control ended, but not by the planted defect: $said"
    echo "control: the planted defect was found"
    rm -rf "$broken"
    exit
fi
for target in "${targets[@]}"; do
    if ! said=$(run "$target"); then
        tail -n 40 <<<"$said" >&2
        die "$target is broken; the input is in $broken/$target"
    fi
    printf '%-14s %s runs, %s inputs kept\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' <<<"$said")" \
        "$(find "$found/$target" -type f | wc -l)"
done
