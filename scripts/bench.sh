#!/usr/bin/env bash
# Measures both services (release builds) beside the limits of the machine, taken in the same run: a bare actix-web
# handler that answers the same bytes, `openssl speed`, and fdatasync. Compare ratios, not digits: machines are noisy.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/bench.sh [options]
  --requests N                  warm reads of each measurement; writes, mints and new tokens take a tenth (default 40000)
  --connections A,B             default 16,256; writes without a token also with 64
  --audit-sync fsync|os|both    default both, each on an installation of its own
  --secrets N,N,…               instead: fill the vault to these numbers and read at random at each
  --soak MINUTES                instead: a steady mixed load, and the memory of both services under it
  --flood                       instead: reads at a steady rate, alone and beside a token holder who floods with refused requests
  --json FILE                   append each measurement to FILE, one JSON object on a line
TEXT
}
die() { echo "bench: $*" >&2; exit 1; }

requests=40000 connections=16,256 audit_sync=both secrets='' soak='' flood='' json=''
cd "$(dirname "$0")/.."
source scripts/services.sh
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --flood) flood=1; shift ;;
        --requests | --connections | --audit-sync | --secrets | --soak | --json)
            (($# > 1)) || die "$1 needs a value; see --help"
            name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
        *) die "unknown option $1; see --help" ;;
    esac
done
case $audit_sync in fsync | os) modes=("$audit_sync") ;; both) modes=(fsync os) ;; *) die "--audit-sync is fsync, os or both" ;; esac

# One package for each build: cargo unifies features over a joint build.
for package in encrypted-vault master-key-manager benches; do
    cargo build --release --locked -q -p "$package"
done
bin=${CARGO_TARGET_DIR:-target}/release
services=(encrypted-vault master-key-manager)
top=$(mktemp -d)
place=$top
stop_both() {
    local name
    for name in master-key-manager encrypted-vault; do stop_service "$place/$name.pid" 30 || true; done
}
finish() {
    stop_both
    [[ -z ${bare_pid-} ]] || kill "$bare_pid" 2>/dev/null || true
    rm -rf "$top"
}
trap finish EXIT

free_port() { # PORT: the first free one from there on
    local port=$1
    while port_taken "$port"; do ((++port)); done
    echo "$port"
}
manager=$(free_port 18000) vault=$(free_port 18200) bare=$(free_port 18400)

install() { # NAME SYNC: a new installation
    place=$top/$1
    mkdir "$place"
    # Otherwise each run leaves a runtime directory of its own in shared memory.
    export RUNTIME_DIRECTORY=$place/runtime
    scripts/generate-keys.sh --keys "$place/keys" --run "$place/run" --manager-port "$manager" --vault-port "$vault" >/dev/null
    for name in "${services[@]}"; do
        printf '\n[audit]\nsync = "%s"\n' "$2" >>"$place/run/$name.toml"
    done
}

start_both() { # sets cold_start, in seconds
    local name url began=$EPOCHREALTIME
    for name in "${services[@]}"; do
        start_service "$bin/$name" "$place/run/$name.toml" "$place/$name.pid" "$place/$name.log"
    done
    for name in "${services[@]}"; do
        url=http://127.0.0.1:$vault
        [[ $name == encrypted-vault ]] || url=http://127.0.0.1:$manager
        wait_ready "$url" "$place/$name.pid" 120 || { cat "$place/$name.log"; die "$name did not start"; }
    done
    cold_start=$(awk -v from="$began" -v to="$EPOCHREALTIME" 'BEGIN {printf "%.2f", to - from}')
    read -r manager_pid _ <"$place/master-key-manager.pid"
    read -r vault_pid _ <"$place/encrypted-vault.pid"
}

measure() { # SUBCOMMAND LABEL, further arguments
    "$bin/splitvault-bench" "$1" --label "$2" ${json:+--json "$json"} --manager "127.0.0.1:$manager" --vault "127.0.0.1:$vault" \
        --pids "$manager_pid" "$vault_pid" --credential-file "$place/run/admin-credential" "${@:3}"
}
note() { # LABEL NAME VALUE UNIT
    "$bin/splitvault-bench" note --label "$1" ${json:+--json "$json"} "${@:2}"
}
memory() { # LABEL WHEN
    local pid
    for pid in "$manager_pid" "$vault_pid"; do
        note "$1" "memory of the $([[ $pid == "$vault_pid" ]] && echo vault || echo manager) $2" \
            "$(awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$pid/status")" MiB
    done
}

if [[ -n $secrets ]]; then
    install scale "${modes[0]}"
    for count in ${secrets//,/ }; do
        echo "$count secrets, audit.sync = ${modes[0]}"
        start_both
        measure fill "$count" --secrets "$count" --ids "$place/ids"
        stop_both
        start_both
        note "$count" "cold start, until both are ready" "$cold_start" s
        memory "$count" "after the start"
        measure random "$count" --ids "$place/ids"
        memory "$count" "after the reads"
        stop_both
        for name in manager vault; do
            file=$(find "$place/run/data" -name "$name.db")
            note "$count" "database of the $name" "$(($(stat -c %s "$file") >> 20))" MiB
        done
    done
elif [[ -n $soak ]]; then
    install soak "${modes[0]}"
    # As many tokens expire as are minted, from the second minute on.
    sed -i '1i token_life_seconds = 60' "$place/run/master-key-manager.toml"
    start_both
    echo "soak of $soak minutes, audit.sync = ${modes[0]}"
    measure soak "${modes[0]}" --minutes "$soak"
elif [[ -n $flood ]]; then
    for mode in "${modes[@]}"; do
        install "$mode" "$mode"
        start_both
        echo "audit.sync = $mode, $(nproc) cores"
        measure flood "$mode"
        stop_both
    done
else
    signatures=$(openssl speed -seconds 2 rsa2048 2>/dev/null | awk '/^rsa 2048/ {print $6}')
    "$bin/splitvault-bench" bare "$bare" &
    bare_pid=$!
    for mode in "${modes[@]}"; do
        install "$mode" "$mode"
        start_both
        echo "audit.sync = $mode, $(nproc) cores"
        memory "$mode" "after the start"
        measure throughput "$mode" --bare "127.0.0.1:$bare" --bare-pid "$bare_pid" --disk "$place" \
            --connections "$connections" --requests "$requests" --signatures "$signatures"
        measure revocation "$mode"
        memory "$mode" "after the load"
        stop_both
    done
fi
