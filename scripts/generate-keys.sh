#!/usr/bin/env bash
# Makes a new installation on one machine: keys with each service's own `init`, pins, configuration files.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/generate-keys.sh [options]
  --mode development|production   what the keys are for; the two never mix (default: development)
  --keys DIR                      where the key folders go (default: keys beside scripts/)
  --run DIR                       configuration files, data and the admin credential (default: run beside scripts/)
  --manager-port N, --vault-port N   written into new configuration files (default: 8000, 8001)
Both halves are on this machine then, so this is for trying Splitvault; docs/install.md keeps them apart. A relative DIR
is relative to where you are. `init` is that of the programs in target/release, or in $SPLITVAULT_BIN_DIR. Nothing is ever overwritten. A run that was interrupted is begun anew by the next one, which
removes what that run made.
TEXT
}
die() { echo "generate-keys: $*" >&2; exit 1; }

from=$PWD mode=development keys=keys run=run manager_port=8000 vault_port=8001
cd "$(dirname "$0")/.."
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --mode | --keys | --run | --manager-port | --vault-port)
            (($# > 1)) || die "$1 needs a value; see --help"
            name=${1#--} value=$2
            [[ ! $name =~ ^(keys|run)$ || $value == /* ]] || value=$from/$value
            printf -v "${name//-/_}" %s "$value"; shift 2 ;;
        *) die "unknown option $1; see --help" ;;
    esac
done
case $mode in development | production) ;; *) die "--mode is development or production" ;; esac
bin=${SPLITVAULT_BIN_DIR:-${CARGO_TARGET_DIR:-target}/release}
for service in master-key-manager encrypted-vault; do
    [[ -x $bin/$service ]] || die "$bin/$service is missing; run: cargo build --release --locked -p $service"
done

for folder in "$keys" "$run"; do
    [[ ! -e $folder || -O $folder ]] ||
        die "$folder belongs to $(stat -c %U "$folder"), not to $(id -un); run this as that user, or choose other --keys and --run"
done
mkdir -p "$keys" "$run"
keys=$(cd "$keys" && pwd) run=$(cd "$run" && pwd)
manager_keys=$keys/master-key-manager vault_keys=$keys/encrypted-vault
manager_data=$run/data/master-key-manager vault_data=$run/data/encrypted-vault
credential=$run/admin-credential

# The marker stands from the first file to the last, and names what this script made: a file or folder that has the same
# number on its disk, and was born in the same second, is the work of the interrupted run. Whatever else lies there is
# somebody's, and stays.
marker=$keys/.unfinished
identity() { stat -c '%d:%i:%W' -- "$1" 2>/dev/null; } # PATH
note_made() { # PATH, FILE (the same, before it gets that name)
    printf '%s %s\n' "$(identity "${2-$1}")" "$1" >>"$marker"
}
exec 8<"$keys"
flock -n 8 || die "another run is at work in $keys; let it end"
if [[ -e $marker ]]; then
    while read -r _ path; do
        [[ ! -e $path/audit.jsonl ]] || die "$path was used since it was made; remove $marker if it is to stay"
    done <"$marker"
    echo "generate-keys: an earlier run was interrupted; its unfinished files are removed."
    while read -r known path; do
        [[ $(identity "$path") != "$known" ]] || rm -rf -- "$path"
    done <"$marker"
    rm "$marker"
fi
for path in "$manager_keys" "$vault_keys" "$manager_data" "$vault_data" "$credential"; do
    [[ ! -e $path ]] || die "$path exists and is not overwritten; move it away, or choose other --keys and --run"
done
: >"$marker"
mkdir -p "$run/data"
for folder in "$manager_keys" "$vault_keys" "$manager_data" "$vault_data"; do
    mkdir "$folder"
    note_made "$folder"
done

write_config() { # FILE, content on stdin; an operator's own file stays as it is
    [[ ! -e $1 ]] || return 0
    : >"$1"
    note_made "$1"
    cat >"$1"
}
write_config "$run/master-key-manager.toml" <<TEXT
mode = "$mode"
listen = "127.0.0.1:$manager_port"
vault_url = "http://127.0.0.1:$vault_port"
data_dir = "data/master-key-manager"
key_dir = "$(realpath --relative-to="$run" "$manager_keys")"
TEXT
write_config "$run/encrypted-vault.toml" <<TEXT
mode = "$mode"
listen = "127.0.0.1:$vault_port"
data_dir = "data/encrypted-vault"
key_dir = "$(realpath --relative-to="$run" "$vault_keys")"
TEXT

# What each `init` says for an operator with one service stands, for both, at the end.
initialize() { # SERVICE, further arguments: prints the fingerprints
    local said
    said=$("$bin/$1" --config "$run/$1.toml" init "${@:2}")
    sed -n "s/^\([a-z ]* key\): */  $1 \1: /p" <<<"$said"
}
vault_fingerprints=$(initialize encrypted-vault)
manager_fingerprints=$(initialize master-key-manager --credential-file "$manager_data/admin-credential")
note_made "$credential" "$manager_data/admin-credential"
# A link, because it never replaces what is there.
ln "$manager_data/admin-credential" "$credential"
rm "$manager_data/admin-credential"
cp "$vault_keys/identity.json" "$manager_keys/pins/vault.json"
cp "$manager_keys/identity.json" "$vault_keys/pins/manager.json"
rm "$marker"

printf '\nFingerprints (RFC 7638 thumbprints, as `rotate-keys status` shows them):\n%s\n%s\n' "$manager_fingerprints" "$vault_fingerprints"
cat <<TEXT

Admin credential:  $credential  (mode 0600; move it to where you keep credentials)
Configuration:     $run/master-key-manager.toml, $run/encrypted-vault.toml
Back up now, in two different places, because one of them alone opens nothing:
  $manager_keys  (root keys: without them no value can be opened again)
  $vault_keys  (storage key: without it no row can be read again)
TEXT
