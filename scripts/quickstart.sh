#!/usr/bin/env bash
# Builds both services, makes keys, starts both, stores a first secret, reads it, revokes its token, and leaves both
# running. Development mode: loopback only, not for real secrets.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/quickstart.sh [--manager-port N] [--vault-port N] | --stop
  Can be run again: what runs already is used, what was interrupted is begun anew.
  --stop    ends what it started (keys and data stay in keys/ and run/)
With $SPLITVAULT_BIN_DIR it runs the programs in that folder, and builds none.
TEXT
}
die() { echo "quickstart: $*" >&2; exit 1; }

cd "$(dirname "$0")/.."
source scripts/services.sh
manager_port="" vault_port="" stop=""
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --stop) stop=yes; shift ;;
        --manager-port | --vault-port)
            [[ ${2-} =~ ^[1-9][0-9]{0,4}$ ]] || die "$1 needs a port number"
            name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
        *) die "unknown option $1; see --help" ;;
    esac
done
services=(encrypted-vault master-key-manager)

if [[ $stop ]]; then
    for service in master-key-manager encrypted-vault; do
        is_ours "run/$service.pid" || { rm -f "run/$service.pid"; echo "$service is not running."; continue; }
        stop_service "run/$service.pid" 40 || die "$service (pid file run/$service.pid) did not end in 40 s"
        echo "$service stopped."
    done
    exit 0
fi

bin=${SPLITVAULT_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}
build=cargo
[[ ! ${SPLITVAULT_BIN_DIR-} ]] || build=
for tool in $build curl setsid; do
    command -v $tool >/dev/null || die "$tool is missing; install it and run this again"
done
mkdir -p run
exec 9>run/quickstart.lock
flock -n 9 || die "another quickstart is running; wait for it"

# One package for each build: cargo unifies features over a joint build, and each service would get the other's half.
for service in ${build:+"${services[@]}"}; do
    echo "Building $service …"
    cargo build --release --locked -q -p "$service"
done

manager_config=run/master-key-manager.toml vault_config=run/encrypted-vault.toml
if [[ -e keys/.unfinished || ! -e $manager_config || ! -d keys/master-key-manager ]]; then
    scripts/generate-keys.sh --manager-port "${manager_port:-8000}" --vault-port "${vault_port:-8001}"
fi

free_port_after() { # PORT
    local port=$1
    while ((port = port < 55000 ? port + 10 : 10000)); port_taken "$port"; do :; done
    echo "$port"
}
use_port() { # PIDFILE CONFIG OPTION PORT: prints the port to use; PORT, if given, goes into the configuration
    local port
    port=$(sed -n 's/^listen = .*:\([0-9]*\)"$/\1/p' "$2")
    [[ $port ]] || die "$2 has no line listen = \"127.0.0.1:PORT\""
    if is_ours "$1"; then
        [[ -z $4 || $4 == "$port" ]] || die "it runs on port $port; end it first: scripts/quickstart.sh --stop"
    else
        port=${4:-$port}
        ! port_taken "$port" ||
            die "port $port is taken by another program; end it, or choose: $0 $3 $(free_port_after "$port")"
        sed -i "s/^listen = .*/listen = \"127.0.0.1:$port\"/" "$2"
    fi
    echo "$port"
}
vault_port=$(use_port run/encrypted-vault.pid "$vault_config" --vault-port "$vault_port")
manager_port=$(use_port run/master-key-manager.pid "$manager_config" --manager-port "$manager_port")
if ! is_ours run/master-key-manager.pid; then
    sed -i "s|^vault_url = .*|vault_url = \"http://127.0.0.1:$vault_port\"|" "$manager_config"
fi

for service in "${services[@]}"; do
    is_ours "run/$service.pid" && { echo "$service runs already."; continue; }
    rm -f "run/$service.pid"
    start_service "$bin/$service" "run/$service.toml" "run/$service.pid" "run/$service.log"
done
await() { # SERVICE PORT
    local outcome=0
    wait_ready "http://127.0.0.1:$2" "run/$1.pid" 30 || outcome=$?
    case $outcome in
        0) echo "$1 is ready on port $2." ;;
        1) tail -n 3 "run/$1.log" >&2; die "$1 ended at its start; its last words are above (run/$1.log)" ;;
        *) tail -n 3 "run/$1.log" >&2; die "$1 is not ready after 30 s; see run/$1.log" ;;
    esac
}
await encrypted-vault "$vault_port"
await master-key-manager "$manager_port"

manager=http://localhost:$manager_port vault=http://localhost:$vault_port
call() { curl --noproxy '*' -sS -m 30 "$@"; }
member() { # NAME: a string member of the JSON document on stdin
    sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"
}
# Tokens and credentials go to curl in files that only their owner can read, never in its arguments: those are visible
# to every user of the machine.
header=run/token.header
trap 'rm -f "$header"' EXIT
printf 'Authorization: Bearer %s\n' "$(cat run/admin-credential)" >run/admin.header

body='{"user_id": "user123", "key_data": "super_secret_value"}'
printf '\nPOST %s/api/keys\n%s\n' "$manager" "$body"
answer=$(call -H "Content-Type: application/json" -d @- "$manager/api/keys" <<<"$body")
echo "→ $answer"
key_id=$(member key_id <<<"$answer") jti=$(member jti <<<"$answer")
printf 'Authorization: Bearer %s\n' "$(member access_token <<<"$answer")" >"$header"
[[ $key_id && $jti ]] || die "the manager did not store it; see run/master-key-manager.log"

printf '\nGET %s/api/keys/%s\nAuthorization: Bearer <access_token>\n' "$vault" "$key_id"
answer=$(call -H @"$header" "$vault/api/keys/$key_id")
echo "→ $answer"
[[ $(member decrypted_key <<<"$answer") == super_secret_value ]] ||
    die "the vault did not open it; see run/encrypted-vault.log"

printf '\nDELETE %s/api/tokens/%s\nAuthorization: Bearer <admin credential>\n' "$manager" "$jti"
deadline=$((SECONDS + 10))
until answer=$(call -X DELETE -H @run/admin.header "$manager/api/tokens/$jti") && [[ $answer == *'"revoked"'* ]]; do
    ((SECONDS < deadline)) || die "the vault did not confirm the revocation: $answer"
    sleep 0.2
done
echo "→ $answer"

printf '\nGET %s/api/keys/%s   (with the revoked token)\n' "$vault" "$key_id"
answer=$(call -w ' (HTTP %{http_code})' -H @"$header" "$vault/api/keys/$key_id")
echo "→ $answer"
[[ $answer == *'(HTTP 401)' ]] || die "the revoked token was not refused"

cat <<TEXT

Both services are running; logs and data are in run/, keys in keys/. Next:
  curl -H 'Content-Type: application/json' -d '{"user_id": "user123", "key_data": "another"}' $manager/api/keys
  curl -H @run/admin.header $manager/api/secrets          what is stored (never a value)
  curl -H @run/admin.header $manager/api/tokens           which tokens live
  curl $manager/openapi.json                              all routes of the manager; the vault has its own
  scripts/quickstart.sh --stop                            end both
TEXT
