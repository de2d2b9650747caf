#!/usr/bin/env bash
# A PostgreSQL server for tests and measurements: a cluster of its own in a folder, unprivileged, on a free port of
# 127.0.0.1 with TLS and on a Unix socket, durable, with a random password.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/postgres.sh run COMMAND…      a new server, COMMAND with its environment, and the end of the server
       scripts/postgres.sh start [FOLDER]    a new server in FOLDER (default: a temporary one), or the one that was halted
       scripts/postgres.sh halt FOLDER       ends the server in order; start continues with what is there
       scripts/postgres.sh kill FOLDER       ends it and all of its processes with SIGKILL, as a crash does
       scripts/postgres.sh stop FOLDER       ends it and removes FOLDER
start prints the environment as lines NAME=VALUE, which are also in FOLDER/env:
  SPLITVAULT_TEST_POSTGRES                  postgres://postgres@127.0.0.1:PORT/postgres, the superuser
  SPLITVAULT_TEST_POSTGRES_PASSWORD_FILE    his password
  SPLITVAULT_TEST_POSTGRES_CA_FILE          the CA of the server's certificate (127.0.0.1, localhost)
  SPLITVAULT_TEST_POSTGRES_SOCKET           the folder of the Unix socket
  SPLITVAULT_TEST_POSTGRES_BIN, _DATA, _FOLDER
As root it installs PostgreSQL from Debian if there is none, and runs the server as postgres or nobody.
TEXT
}
die() { echo "postgres: $*" >&2; exit 1; }

find_programs() { # sets bin; the newest version counts
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [[ -x $found ]] || found=$(command -v initdb) || return 1
    bin=$(dirname "$(realpath "$found")")
    [[ -x $bin/postgres && -x $bin/pg_ctl ]]
}

install_programs() {
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        die "PostgreSQL is missing; install it (Debian: apt-get install postgresql)"
    fi
    # Debian would make a cluster and start it as a service of the machine.
    local own=/etc/postgresql-common/createcluster.d/splitvault-tests.conf
    (umask 022 && mkdir -p "${own%/*}" && echo 'create_main_cluster = false' >"$own")
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql; } \
        >/dev/null 2>&1 || die "PostgreSQL could not be installed; see apt-get install postgresql"
}

as_server() { # COMMAND…, as the user of the server: PostgreSQL refuses root
    if ((EUID == 0)); then
        setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups -- "$@"
    else
        "$@"
    fi
}

prepare() { # sets owner and bin
    find_programs || { install_programs && find_programs; } || die "PostgreSQL was installed, but initdb is not found"
    owner=$(id -un)
    if ((EUID == 0)); then
        owner=postgres
        id "$owner" >/dev/null 2>&1 || owner=nobody
    fi
    ((EUID != 0)) || command -v setpriv >/dev/null || die "setpriv is missing; install it (Debian: apt-get install util-linux)"
}

make() { # FOLDER: a new cluster
    local folder=$1 server=$1/server certificates=$1/certificates said
    command -v openssl >/dev/null || die "openssl is missing; install it (Debian: apt-get install openssl)"
    # The server's user must reach its part; all else in the folder stays private.
    chmod 711 "$folder"
    as_server test -x "$folder" || die "$owner cannot reach $folder; choose a folder below one that others may enter"
    mkdir "$server"
    # Tests also run with clocks that are ten years ahead.
    scripts/make-certificates.sh --out "$certificates" --days 7300 --ca-days 7300 \
        127.0.0.1,localhost 127.0.0.1,localhost >/dev/null
    cp "$certificates/encrypted-vault/listener.pem" "$certificates/encrypted-vault/listener.key" "$server"
    cp "$certificates/ca/ca.pem" "$folder/ca.pem"
    rm -r "$certificates"
    openssl rand -hex 24 >"$folder/password"
    cp "$folder/password" "$server/password"
    ((EUID != 0)) || chown -R "$owner:" "$server"
    # An order of texts as in many installations, which is not that of bytes.
    said=$(as_server "$bin/initdb" --pgdata="$server/data" --username=postgres --pwfile="$server/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en 2>&1) ||
        die "initdb failed: ${said##*$'\n'}"
    rm "$server/password"
    as_server mkdir "$server/socket"
    as_server chmod 711 "$server" "$server/socket"
    as_server tee -a "$server/data/postgresql.conf" >/dev/null <<TEXT
listen_addresses = '127.0.0.1'
unix_socket_directories = '$server/socket'
max_connections = 400
ssl = on
ssl_cert_file = '$server/listener.pem'
ssl_key_file = '$server/listener.key'
log_line_prefix = '%m [%p] %u@%d '
TEXT
}

launch() { # FOLDER PORT
    as_server "$bin/pg_ctl" --pgdata="$1/server/data" --log="$1/server/log" -o "-p $2" --wait --timeout=60 start >/dev/null 2>&1
}

write_environment() { # FOLDER PORT
    local name=SPLITVAULT_TEST_POSTGRES
    cat >"$1/env.new" <<TEXT
$name=postgres://postgres@127.0.0.1:$2/postgres
${name}_PASSWORD_FILE=$1/password
${name}_CA_FILE=$1/ca.pem
${name}_SOCKET=$1/server/socket
${name}_BIN=$bin
${name}_DATA=$1/server/data
${name}_FOLDER=$1
TEXT
    mv "$1/env.new" "$1/env"
}

port_of() { sed -nE 's|^SPLITVAULT_TEST_POSTGRES=.*:([0-9]+)/.*|\1|p' "$1/env"; }

start() { # FOLDER
    local folder=$1 port attempt
    if [[ -e $folder/env ]]; then
        launch "$folder" "$(port_of "$folder")" || fail "$folder"
        return
    fi
    make "$folder"
    for attempt in 1 2 3 4 5 6 7 8; do
        # Above the ports of the tests' services, and below those that the kernel gives to outgoing connections.
        port=$((31000 + (RANDOM + attempt) % 1700))
        if ! port_taken "$port" && launch "$folder" "$port"; then
            write_environment "$folder" "$port"
            return
        fi
    done
    fail "$folder"
}
fail() { # FOLDER
    die "the server did not start: $(as_server tail -n 1 "$1/server/log" 2>/dev/null || echo 'it has no log')"
}

children_of() { # PID
    local stat line parent
    for stat in /proc/[0-9]*/stat; do
        { IFS= read -r line <"$stat"; } 2>/dev/null || continue
        # The command name may hold spaces and brackets: count the fields behind the last bracket.
        read -r _ parent _ <<<"${line##*) }"
        [[ $parent != "$1" ]] || basename "${stat%/stat}"
    done
}

kill_all() { # FOLDER
    local postmaster pid all data=$1/server/data
    postmaster=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || die "no server runs in $1"
    [[ $(realpath "/proc/$postmaster/cwd" 2>/dev/null) == "$(realpath "$data")" ]] || die "no server runs in $1"
    # Stopped, it starts no further processes while they are counted.
    kill -STOP "$postmaster"
    mapfile -t all < <(children_of "$postmaster"; echo "$postmaster")
    kill -KILL "${all[@]}" 2>/dev/null || true
    for pid in "${all[@]}"; do
        while [[ $(started_at "$pid") ]]; do sleep 0.02; done
    done
    # A process that is dead but not yet collected by init looks alive to the next server.
    rm -f "$data/postmaster.pid" "$1/server/socket"/.s.PGSQL.*
}

end() { # FOLDER MODE
    local pid=$1/server/data/postmaster.pid
    local mode
    # One that cannot end in order, as on a full disk, ends without.
    for mode in "$2" immediate; do
        [[ -e $pid ]] || return 0
        as_server "$bin/pg_ctl" --pgdata="$1/server/data" --mode="$mode" --wait --timeout=30 stop >/dev/null 2>&1 || true
    done
}

end_all() { # FOLDER: with the servers that its tests have left
    local left
    for left in "$1"/own-*/server; do [[ ! -d $left ]] || end "${left%/server}" immediate; done
    end "$1" immediate
}

from=$PWD
cd "$(dirname "$0")/.."
source scripts/services.sh
command=${1-}
case $command in
    --help) usage; exit 0 ;;
    run) shift; (($#)) || die "run needs a command; see --help" ;;
    start) (($# <= 2)) || die "start takes one folder; see --help" ;;
    halt | kill | stop)
        (($# == 2)) || die "$command takes one folder; see --help"
        folder=$2
        [[ $folder == /* ]] || folder=$from/$folder
        [[ -d $folder/server ]] || die "$folder was not made by this script" ;;
    *) die "unknown command $command; see --help" ;;
esac
prepare
case $command in
    start)
        folder=${2:-$(mktemp -d "${TMPDIR:-/tmp}/splitvault-postgres-XXXXXX")}
        [[ $folder == /* ]] || folder=$from/$folder
        mkdir -p "$folder"
        folder=$(realpath "$folder")
        start "$folder"
        cat "$folder/env" ;;
    halt) end "$folder" fast ;;
    kill) kill_all "$folder" ;;
    stop) end "$folder" immediate; rm -rf "$folder" ;;
    run)
        folder=$(mktemp -d "${TMPDIR:-/tmp}/splitvault-postgres-XXXXXX")
        child=''
        trap '[[ ! $child ]] || kill -TERM -- "-$child" 2>/dev/null || true' INT TERM HUP
        trap 'end_all "$folder"; rm -rf "$folder"' EXIT
        start "$folder"
        while IFS= read -r line; do export "${line?}"; done <"$folder/env"
        umask 022
        cd "$from"
        # A group of its own, so that a signal ends all of it.
        set -m
        "$@" <&0 &
        child=$!
        set +m
        status=0
        wait "$child" || status=$?
        # A wait that a signal broke off is taken up again.
        while kill -0 "$child" 2>/dev/null; do status=0; wait "$child" || status=$?; done
        exit "$status" ;;
esac
