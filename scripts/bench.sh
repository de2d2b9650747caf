#!/usr/bin/env bash
# Measures reads and writes of both services (release builds) beside a bare actix-web handler and `openssl speed` of the
# same run. Compare ratios, not digits: machines are noisy.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/bench.sh [--requests N] [--connections A,B] [--audit-sync fsync|os]
TEXT
}
die() { echo "bench: $*" >&2; exit 1; }

requests=40000 connections=16,256 audit_sync=fsync
cd "$(dirname "$0")/.."
source scripts/services.sh
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --requests | --connections | --audit-sync)
            (($# > 1)) || die "$1 needs a value; see --help"
            name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
        *) die "unknown option $1; see --help" ;;
    esac
done

# One package for each build: cargo unifies features over a joint build.
for package in encrypted-vault master-key-manager benches; do
    cargo build --release --locked -q -p "$package"
done
bin=${CARGO_TARGET_DIR:-target}/release
place=$(mktemp -d)
# Otherwise each run leaves a runtime directory of its own in shared memory.
export RUNTIME_DIRECTORY=$place/runtime
finish() {
    for name in master-key-manager encrypted-vault; do stop_service "$place/$name.pid" 20 || true; done
    [[ -z ${bare_pid-} ]] || kill "$bare_pid" 2>/dev/null || true
    rm -rf "$place"
}
trap finish EXIT

free_port() { # PORT: the first free one from there on
    local port=$1
    while port_taken "$port"; do ((++port)); done
    echo "$port"
}
manager=$(free_port 18000) vault=$(free_port 18200) bare=$(free_port 18400)
scripts/generate-keys.sh --keys "$place/keys" --run "$place/run" --manager-port "$manager" --vault-port "$vault" >/dev/null
for name in encrypted-vault master-key-manager; do
    # Top-level settings stand before the first table.
    sed -i '1i log = "warn"' "$place/run/$name.toml"
    printf '\n[audit]\nsync = "%s"\n' "$audit_sync" >>"$place/run/$name.toml"
    start_service "$bin/$name" "$place/run/$name.toml" "$place/$name.pid" "$place/$name.log"
done
"$bin/splitvault-bench" bare "$bare" &
bare_pid=$!
wait_ready "http://127.0.0.1:$vault" "$place/encrypted-vault.pid" 30 || { cat "$place/encrypted-vault.log"; die "the vault did not start"; }
wait_ready "http://127.0.0.1:$manager" "$place/master-key-manager.pid" 30 || { cat "$place/master-key-manager.log"; die "the manager did not start"; }

signatures=$(openssl speed -seconds 2 rsa2048 2>/dev/null | awk '/^rsa 2048/ {print $6}')
read -r manager_pid _ <"$place/master-key-manager.pid"
read -r vault_pid _ <"$place/encrypted-vault.pid"
echo "audit.sync = $audit_sync, $(nproc) cores"
"$bin/splitvault-bench" run --manager "127.0.0.1:$manager" --vault "127.0.0.1:$vault" --bare "127.0.0.1:$bare" \
    --credential-file "$place/run/admin-credential" --pids "$manager_pid" "$vault_pid" \
    --connections "$connections" --requests "$requests" --signatures "$signatures"
grep -E '^VmRSS' "/proc/$manager_pid/status" "/proc/$vault_pid/status" | sed 's|/proc/||; s|/status||; s|VmRSS:||' |
    awk -v m="$manager_pid" '{print "resident memory of the " ($1 ~ m ? "manager" : "vault") ": " $2 " kB"}'
