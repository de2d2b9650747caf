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
  --rights                      instead: mints with many permissions and groups beside mints with one
  --services N                  instead: make so many services with two credentials each; start and memory of the manager then
  --timing                      instead: whether unknown and forbidden take the same time for a caller who may see little
  --database sqlite|postgres    default sqlite; postgres starts a server of its own, and prints the commits per second that
                                pgbench gets from it with as many connections as a service writes through
  --json FILE                   append each measurement to FILE, one JSON object on a line
TEXT
}
die() { echo "bench: $*" >&2; exit 1; }

requests=40000 connections=16,256 audit_sync=both secrets='' soak='' flood='' rights='' services='' timing='' json=''
database=sqlite
cd "$(dirname "$0")/.."
source scripts/services.sh
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --flood | --rights | --timing) printf -v "${1#--}" 1; shift ;;
        --requests | --connections | --audit-sync | --secrets | --services | --soak | --database | --json)
            (($# > 1)) || die "$1 needs a value; see --help"
            name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
        *) die "unknown option $1; see --help" ;;
    esac
done
case $audit_sync in fsync | os) modes=("$audit_sync") ;; both) modes=(fsync os) ;; *) die "--audit-sync is fsync, os or both" ;; esac
case $database in sqlite | postgres) ;; *) die "--database is sqlite or postgres" ;; esac

# One package for each build: cargo unifies features over a joint build.
for package in encrypted-vault master-key-manager benches; do
    cargo build --release --locked -q -p "$package"
done
bin=${CARGO_TARGET_DIR:-target}/release
programs=(encrypted-vault master-key-manager)
top=$(mktemp -d)
place=$top
stop_both() {
    local name
    for name in master-key-manager encrypted-vault; do stop_service "$place/$name.pid" 30 || true; done
}
finish() {
    stop_both
    [[ -z ${SPLITVAULT_TEST_POSTGRES_FOLDER-} ]] || scripts/postgres.sh stop "$SPLITVAULT_TEST_POSTGRES_FOLDER" || true
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

if [[ $database == postgres ]]; then
    unset "${!SPLITVAULT_TEST_POSTGRES@}"
    lines=$(scripts/postgres.sh start)
    while IFS= read -r line; do export "${line?}"; done <<<"$lines"
fi
server_program() { # NAME, arguments: as the superuser
    PGOPTIONS="-c client_min_messages=warning" PGPASSWORD=$(<"$SPLITVAULT_TEST_POSTGRES_PASSWORD_FILE") \
        "$SPLITVAULT_TEST_POSTGRES_BIN/$1" "${@:2}"
}
superuser() { server_program psql -qAtX -v ON_ERROR_STOP=1 "$SPLITVAULT_TEST_POSTGRES" -c "$1"; } # STATEMENT

use_postgres() { # SERVICE NAME PORT: its configuration, with a role and a database of its own
    local role=${1//-/_}_$2 config=$place/run/$1.toml
    openssl rand -hex 24 >"$place/run/$1.password"
    superuser "CREATE ROLE $role LOGIN PASSWORD '$(<"$place/run/$1.password")'"
    superuser "CREATE DATABASE $role OWNER $role"
    {
        echo 'mode = "development"'
        echo "listen = \"127.0.0.1:$3\""
        [[ $1 == encrypted-vault ]] || echo "vault_url = \"http://127.0.0.1:$vault\""
        echo "data_dir = \"data/$1\""
        echo "key_dir = \"../keys/$1\""
        echo "database = \"$(sed -E "s|//postgres@(.*)/postgres|//$role@\1/$role|" <<<"$SPLITVAULT_TEST_POSTGRES")\""
        echo '[postgres]'
        echo "password_file = \"$1.password\""
        # No password over plain TCP; so TLS is in the figures.
        echo "ca_file = \"$SPLITVAULT_TEST_POSTGRES_CA_FILE\""
    } >"$config"
}

commits() { # LABEL: what the server can do, one row for each commit
    [[ $database == postgres ]] || return 0
    superuser "CREATE TABLE IF NOT EXISTS one_row (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)"
    cat >"$top/one_row.sql" <<'TEXT'
\set id random(1, 1000000)
INSERT INTO one_row (id, value) VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET value = one_row.value + 1;
TEXT
    note "$1" "commits of one row, by pgbench over 4 connections" "$(server_program pgbench --no-vacuum --client=4 \
        --jobs=1 --time=5 --protocol=prepared --file="$top/one_row.sql" "$SPLITVAULT_TEST_POSTGRES" 2>/dev/null |
        awk '/^tps/ {printf "%.0f", $3}')" "per s"
}

install() { # NAME SYNC: a new installation
    place=$top/$1
    mkdir -p "$place/run"
    if [[ $database == postgres ]]; then
        use_postgres encrypted-vault "$1" "$vault"
        use_postgres master-key-manager "$1" "$manager"
    fi
    # Otherwise each run leaves a runtime directory of its own in shared memory.
    export RUNTIME_DIRECTORY=$place/runtime
    scripts/generate-keys.sh --keys "$place/keys" --run "$place/run" --manager-port "$manager" --vault-port "$vault" >/dev/null
    for name in "${programs[@]}"; do
        printf '\n[audit]\nsync = "%s"\n' "$2" >>"$place/run/$name.toml"
    done
}

start_both() { # sets cold_start, in seconds
    local name url began=$EPOCHREALTIME
    for name in "${programs[@]}"; do
        start_service "$bin/$name" "$place/run/$name.toml" "$place/$name.pid" "$place/$name.log"
    done
    for name in "${programs[@]}"; do
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
            if [[ $database == postgres ]]; then
                [[ $name == vault ]] && role=encrypted_vault_scale || role=master_key_manager_scale
                bytes=$(superuser "SELECT pg_database_size('$role')")
            else
                bytes=$(stat -c %s "$(find "$place/run/data" -name "$name.db")")
            fi
            note "$count" "database of the $name" "$((bytes >> 20))" MiB
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
elif [[ -n $rights || -n $timing ]]; then
    install rights "${modes[0]}"
    start_both
    echo "audit.sync = ${modes[0]}, $(nproc) cores"
    [[ -z $rights ]] || measure rights "${modes[0]}"
    [[ -z $timing ]] || measure timing "${modes[0]}"
elif [[ -n $services ]]; then
    install services "${modes[0]}"
    start_both
    echo "$services services, audit.sync = ${modes[0]}"
    memory "$services" "before"
    measure crowd "$services" --services "$services"
    stop_service "$place/master-key-manager.pid" 30
    began=$EPOCHREALTIME
    start_service "$bin/master-key-manager" "$place/run/master-key-manager.toml" "$place/master-key-manager.pid" "$place/master-key-manager.log"
    wait_ready "http://127.0.0.1:$manager" "$place/master-key-manager.pid" 120 || die "master-key-manager did not start"
    note "$services" "start of the manager, until it is ready" \
        "$(awk -v from="$began" -v to="$EPOCHREALTIME" 'BEGIN {printf "%.2f", to - from}')" s
    read -r manager_pid _ <"$place/master-key-manager.pid"
    memory "$services" "after the start"
else
    signatures=$(openssl speed -seconds 2 rsa2048 2>/dev/null | awk '/^rsa 2048/ {print $6}')
    "$bin/splitvault-bench" bare "$bare" &
    bare_pid=$!
    for mode in "${modes[@]}"; do
        install "$mode" "$mode"
        start_both
        echo "audit.sync = $mode, $(nproc) cores"
        memory "$mode" "after the start"
        commits "$mode"
        measure throughput "$mode" --bare "127.0.0.1:$bare" --bare-pid "$bare_pid" --disk "$place" \
            --connections "$connections" --requests "$requests" --signatures "$signatures"
        measure revocation "$mode"
        memory "$mode" "after the load"
        stop_both
    done
fi
