#!/usr/bin/env bash
# Makes a private CA and the TLS certificates of a two-host installation, with openssl (ECDSA P-256).
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/make-certificates.sh [options] MANAGER_HOST VAULT_HOST
  Each host is a DNS name or an IP address, or several of them with commas between: the first is its name.
  --out DIR        where the folders go (default: certificates)
  --days N         life of the certificates of the services (default: 90)
  --ca-days N      life of the CA (default: 1095)
  --renew          new keys and certificates for both services from the CA that is there; running services take them over
Makes DIR/ca (keep it away from both hosts), DIR/master-key-manager and DIR/encrypted-vault (one for each host), all
private. Nothing is overwritten without --renew, and the CA never.
TEXT
}
die() { echo "make-certificates: $*" >&2; exit 1; }

out=certificates days=90 ca_days=1095 renew=false hosts=()
while (($#)); do
    case $1 in
        --help) usage; exit 0 ;;
        --renew) renew=true; shift ;;
        --out | --days | --ca-days)
            (($# > 1)) || die "$1 needs a value; see --help"
            name=${1#--}; printf -v "${name//-/_}" %s "$2"; shift 2 ;;
        -*) die "unknown option $1; see --help" ;;
        *) hosts+=("$1"); shift ;;
    esac
done
((${#hosts[@]} == 2)) || die "name the manager's host and the vault's host; see --help"
for number in "$days" "$ca_days"; do
    [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || die "a life is a number of days, not $number"
done
for host in "${hosts[@]}"; do
    [[ $host =~ ^[A-Za-z0-9.:-]+(,[A-Za-z0-9.:-]+)*$ ]] || die "$host is neither a host nor a list of hosts"
done
command -v openssl >/dev/null || die "openssl is missing; install it (Debian: apt-get install openssl)"

manager=$out/master-key-manager vault=$out/encrypted-vault ca=$out/ca
if $renew; then
    [[ -e $ca/ca.pem && -e $ca/ca.key ]] || die "$ca has no CA to renew from; move $out away and run it without --renew"
else
    for path in "$ca" "$manager" "$vault"; do
        [[ ! -e $path ]] || die "$path exists and is not overwritten; choose another --out, or --renew"
    done
fi
for path in "$out" "$ca" "$manager" "$vault" "$ca"/* "$manager"/* "$vault"/*; do
    # A service reads only what is its user's; root would leave files that it cannot read.
    [[ ! -e $path || -O $path ]] ||
        die "$path belongs to $(stat -c %U "$path"), not to $(id -un); run this as that user, or choose another --out"
done
mkdir -p "$ca" "$manager" "$vault"
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

quiet() { # openssl, which talks on standard error also when all is well
    local said
    said=$(openssl "$@" 2>&1) || die "openssl $1 failed: ${said##*$'\n'}"
}
new_key() { quiet genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

if ! $renew; then
    cat >"$work/ca.cnf" <<'TEXT'
[req]
distinguished_name = name
prompt = no
x509_extensions = ca
[name]
CN = Splitvault private CA
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
TEXT
    new_key "$ca/ca.key"
    quiet req -x509 -new -config "$work/ca.cnf" -key "$ca/ca.key" -days "$ca_days" -out "$ca/ca.pem"
fi

certificate() { # FOLDER NAME HOSTS serverAuth|clientAuth
    local host alternatives=
    for host in ${3//,/ }; do
        if [[ $host =~ ^[0-9.]+$ || $host == *:* ]]; then host=IP:$host; else host=DNS:$host; fi
        alternatives+=${alternatives:+,}$host
    done
    cat >"$work/leaf.cnf" <<TEXT
[req]
distinguished_name = name
prompt = no
[name]
CN = Splitvault $2
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = $4
subjectAltName = $alternatives
authorityKeyIdentifier = keyid
TEXT
    new_key "$work/$2.key"
    quiet req -new -config "$work/leaf.cnf" -key "$work/$2.key" -out "$work/request.pem"
    quiet x509 -req -in "$work/request.pem" -CA "$ca/ca.pem" -CAkey "$ca/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$days" -extfile "$work/leaf.cnf" -extensions leaf -out "$work/$2.pem"
    # Whole files only: a running service may read at any moment. It waits until both stand still.
    mv "$work/$2.key" "$1/$2.key"
    mv "$work/$2.pem" "$1/$2.pem"
}
certificate "$manager" listener "${hosts[0]}" serverAuth
certificate "$manager" client "${hosts[0]}" clientAuth
certificate "$vault" listener "${hosts[1]}" serverAuth
for folder in "$manager" "$vault"; do
    cp "$ca/ca.pem" "$work/ca.pem"
    mv "$work/ca.pem" "$folder/ca.pem"
done

ends() { openssl x509 -in "$1" -noout -enddate | sed 's/notAfter=//'; }
cat <<TEXT
CA until $(ends "$ca/ca.pem"), certificates until $(ends "$vault/listener.pem").
$manager goes to the manager's host, $vault to the vault's; $ca stays elsewhere.
In the vault's configuration:    [tls]        certificate, key: listener.pem, listener.key; client_ca: ca.pem;
                                              client_name = "${hosts[0]%%,*}"
In the manager's configuration:  [tls]        certificate, key: listener.pem, listener.key
                                 [vault_tls]  ca: ca.pem; certificate, key: client.pem, client.key
Clients get ca.pem.
TEXT
