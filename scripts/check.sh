#!/usr/bin/env bash
# All checks that are no tests: format, lints, documents, tidiness, dependencies, and who may hold which half.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: scripts/check.sh [--update] [--release]
  --update    write tests/output/crate-edges.txt anew instead of comparing with it
  --release   look into the release builds, too, as somebody does who ships them
Needs python3; uses cargo-deny when it is installed. Set CARGO_NET_OFFLINE=true to keep it from the network.
TEXT
}
die() { echo "check: $*" >&2; exit 1; }
step() { printf '\n== %s\n' "$*"; }
forbid() { # WHY PATTERN FILE…: no line may match
    local found
    found=$(grep -nHP -e "$2" -- "${@:3}") || return 0
    printf '%s\n' "$found" >&2
    die "$1"
}

update='' builds=(debug)
while (($#)); do
    case $1 in
        --update) update=yes ;;
        --release) builds+=(release) ;;
        --help) usage; exit 0 ;;
        *) die "unknown option $1; see --help" ;;
    esac
    shift
done
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || die "python3 is missing; install it (Debian: apt-get install python3)"
mapfile -t rust < <(git ls-files --cached --others --exclude-standard '*.rs')
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)

step "shell syntax"
for script in "${scripts[@]}"; do bash -n "$script"; done

step "format"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path tests/policy-oracle/Cargo.toml --check

step "what the scripts make in this folder stays out of git"
for made in certificates/ca/ca.key keys/encrypted-vault/transport.pem run/admin-credential; do
    git check-ignore --quiet "$made" || die "$made could be committed; name its folder in .gitignore"
done

step "tidiness"
# The patterns are broken up so that they do not find themselves.
forbid "finish it or file an issue" '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' "${rust[@]}" "${scripts[@]}"
forbid "finish it or file an issue" '^(?!\s*//[/!]).*\b(to''do|unimple''mented)!' "${rust[@]}"
forbid "a lint is lifted with #[expect(…, reason)], which ends with its cause" '#!?\[al''low\(' "${rust[@]}"
for file in "${rust[@]}" "${scripts[@]}"; do
    lines=$(wc -l <"$file")
    ((lines < 500)) || die "$file has $lines lines; split it by concept (below 500)"
done

whole='crate::(\{[^}]*\b)?(app|routes)\b'
# The room of answers is a budget that the one who makes a large answer takes from; configurations name bounds.
web='crate::(\{[^}]*\b)?http\b|\bactix_web\b|service_runtime::http::(?!\{?(AnswerRoom|Room|Limits|OperatorListen|ServeConfig|DEFAULT_SHUTDOWN_SECONDS)\b)'
step "no part of a service asks for the whole of it, and only routes and http know the web"
# Only the top of the process and the routes know the application; all else gets its own parts.
for service in encrypted-vault master-key-manager; do
    mapfile -t parts < <(find "$service/src" -name '*.rs' ! -path '*/routes/*' ! -name app.rs ! -name run.rs ! -name cli.rs)
    forbid "ask for the part that is needed, not for the whole of the service" "$whole" "${parts[@]}"
    mapfile -t areas < <(printf '%s\n' "${parts[@]}" | grep -v '/http/')
    forbid "an area knows neither the web nor what calls it" "$web" "${areas[@]}"
done
grep -qP "$whole" master-key-manager/src/routes/tokens.rs || die "the pattern for the whole finds nothing"
grep -qP "$web" encrypted-vault/src/routes/commands.rs || die "the pattern for the web finds nothing"
mapfile -t recorders < <(printf '%s\n' "${rust[@]}" | grep -E '^(master-key-manager|encrypted-vault)/src/' | grep -vE '/audit_event(/[a-z_]+)?\.rs$')
forbid "the words of audit lines stand in audit_event.rs" 'AuditRecord::(new|background)\(\s*"|AuditStatus::Success' "${recorders[@]}"

step "statements are written once for all engines"
# The stores that have moved (docs/adr/0023-sql-seam.md). Only schemas, what opens a file, and the index of names know an engine.
engine='\brusqlite\b|service_runtime::sqlite|\bINSERT OR\b|\?\d+ IS NULL|\bGLOB\b|\browid\b'
mapfile -t stores < <(find encrypted-vault/src/store master-key-manager/{src,store/src} -name '*.rs' ! -path '*/schema/*' \
    ! -path '*/sql/search/*' ! -name files.rs)
forbid "use service_runtime::sql" "$engine" "${stores[@]}"
statement='\b(SELECT|INSERT INTO|UPDATE|DELETE FROM) \w+'
mapfile -t areas < <(find master-key-manager/src master-key-manager/store/src -name '*.rs' ! -path '*/store/src/sql/*')
forbid "statements stand in the store's sql/" "$statement" "${areas[@]}"
grep -qP "$statement" master-key-manager/store/src/sql/rows.rs || die "the pattern for statements finds nothing"
grep -qP "$engine" <<<'WHERE ?1 IS NULL OR' || die "the pattern finds nothing"

step "the decision over rights is pure"
# What it is decided from is handed over; so it can be tested with any policy, and explained without a service.
for crate in manager-policy manager-registry; do
    mapfile -t pure < <(cargo tree --locked -p "$crate" --edges normal,build --prefix none --format '{p}' | cut -d' ' -f1 | sort -u)
    grep -qx shared-proto <<<"$(printf '%s\n' "${pure[@]}")" || die "cargo tree lists nothing for $crate"
    ! printf '%s\n' "${pure[@]}" | grep -xE 'tokio|futures.*|async-trait|actix.*|service-runtime|rusqlite|.*postgres|reqwest' ||
        die "$crate neither waits nor reads: no runtime, no web, no database"
done
forbid "hand the facts and the time over" '\basync\b|\bstd::(fs|net|time|thread|process|env|io)\b' \
    master-key-manager/{policy,registry}/src/*.rs
decision='\b(Permit(::<\w+>)?|Visible)::decide\('
mapfile -t deciders < <(find master-key-manager/{src,store/src} -name '*.rs' ! -path '*/src/access/*' ! -path '*/store/src/testing/*')
forbid "a permit comes from its caller" "$decision" "${deciders[@]}"
grep -qP "$decision" master-key-manager/src/access/mod.rs || die "the pattern finds nothing"

step "sign-on is pure"
# What strangers send is parsed there. Time and randomness are handed over, and a key set is fetched through a trait.
mapfile -t pure < <(cargo tree --locked -p manager-sign-on --edges normal,build --prefix none --format '{p}' | cut -d' ' -f1 | sort -u)
grep -qx shared-proto <<<"$(printf '%s\n' "${pure[@]}")" || die "cargo tree lists nothing for manager-sign-on"
! printf '%s\n' "${pure[@]}" | grep -xE 'tokio|futures.*|actix.*|service-runtime|manager-store|rusqlite|.*postgres|reqwest' ||
    die "manager-sign-on neither waits nor reads: no runtime, no web, no database"
mapfile -t sign_on < <(find master-key-manager/sign-on/src -name '*.rs' ! -name testing.rs ! -name tests.rs)
drawn='\bstd::(fs|net::(?!\{?(IpAddr|Ipv[46]Addr)\b)|time|thread|process|env|io)\b|::generate\(|\brand(om)?(::|\()|\bSystemRandom\b'
forbid "hand time and random bytes over" "$drawn" "${sign_on[@]}"
grep -qP "$drawn" master-key-manager/sign-on/src/testing.rs || die "the pattern finds nothing"

step "kinds of secrets are pure"
# Values of strangers are parsed there, and keys are made. Time and randomness are handed over.
mapfile -t pure < <(cargo tree --locked -p manager-secret-kinds --edges normal,build --prefix none --format '{p}' | cut -d' ' -f1 | sort -u)
grep -qx shared-proto <<<"$(printf '%s\n' "${pure[@]}")" || die "cargo tree lists nothing for manager-secret-kinds"
! printf '%s\n' "${pure[@]}" | grep -xE 'tokio|futures.*|async-trait|actix.*|service-runtime|manager-store|rusqlite|.*postgres|reqwest' ||
    die "manager-secret-kinds neither waits nor reads: no runtime, no web, no database"
mapfile -t kinds < <(find master-key-manager/secret-kinds/src -name '*.rs' ! -name testing.rs)
# RSA keys are made inside aws-lc-rs, which takes no randomness of ours.
drawn='\basync\b|\bstd::(fs|net::(?!\{?(IpAddr|Ipv[46]Addr)\b)|time|thread|process|env|io)\b'
drawn+='|(?<!crate)(?<!RsaKeyPair)::generate(_pkcs8|_for)?\(|\brand(om)?::(?!(\{?(Pool|Random)\b))|\bSystemRandom\b|\bnow_utc\b'
forbid "hand time and random bytes over" "$drawn" "${kinds[@]}"
grep -qP "$drawn" <<<'let key = Ed25519KeyPair::generate();' || die "the pattern finds nothing"
grep -qP "$drawn" <<<'use std::time::SystemTime;' || die "the pattern finds nothing"
mapfile -t elsewhere < <(printf '%s\n' "${rust[@]}" | grep -vE '/tests/|^fuzz/|/testing\.rs$|^master-key-manager/secret-kinds/src/generate/key_pair\.rs$')
made='\bRsaKeyPair::generate\(|\brsa::KeyPair::generate\('
forbid "RSA keys of others are made in generate/key_pair.rs" "$made" "${elsewhere[@]}"
grep -qP "$made" master-key-manager/secret-kinds/src/generate/key_pair.rs || die "the pattern finds nothing"

step "the rsa crate performs no private operation (RUSTSEC-2023-0071)"
# It may parse, check and convert. What it offers for signing and decrypting lies in other modules, or in methods that
# need a source of randomness or a padding scheme from them. Tests may make weak keys with it, to be refused.
mapfile -t shipped < <(printf '%s\n' "${rust[@]}" | grep -v '/tests/')
private_operation='(?<![\w:])(::)?rsa::(?!\{?(BigUint|RsaPrivateKey|RsaPublicKey|pkcs8|traits)\b)'
private_operation+='|\buse rsa as\b|extern crate rsa\b'
forbid "only parsing and checking with the rsa crate; private operations run in aws-lc-rs" "$private_operation" "${shipped[@]}"
grep -qP "$private_operation" <<<'let key = rsa::pkcs1v15::SigningKey::new(key);' || die "the pattern finds nothing"
forbid "private operations run in aws-lc-rs" '\.(decrypt_blinded|sign_with_rng|sign_blinded)\(' "${rust[@]}"
forbid "rsa_key.rs parses and checks; it neither signs nor decrypts" '\.(sign|decrypt)\(' shared-proto/src/rsa_key.rs

step "dependencies"
tree=$(cargo tree --locked --workspace --edges normal,build --prefix none --format '{p}')
grep -q '^aws-lc-rs ' <<<"$tree" || die "cargo tree lists no aws-lc-rs, so this check sees nothing"
! grep -E '^(ring|openssl|openssl-sys|native-tls) ' <<<"$tree" || die "one crypto library is enough: aws-lc-rs"
if command -v cargo-deny >/dev/null; then
    cargo deny --offline --config deny.toml check bans licenses sources
else
    echo "cargo-deny is not installed: licences are not checked here (cargo install --locked cargo-deny)"
fi

step "crate edges"
edges=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
for package in sorted(json.load(sys.stdin)["packages"], key=lambda package: package["name"]):
    for edge in sorted(package["dependencies"], key=lambda edge: (edge["kind"] or "", edge["name"])):
        if "path" in edge:
            kind, features = edge["kind"] or "normal", ", ".join(sorted(edge["features"]))
            print(package["name"], "->", edge["name"], f"({kind})", f"[{features}]" if features else "")
' | sed 's/ *$//')
if [[ $update ]]; then
    printf '%s\n' "$edges" >tests/output/crate-edges.txt
fi
diff -u tests/output/crate-edges.txt - <<<"$edges" ||
    die "the edges between our crates changed; if that is meant, run scripts/check.sh --update and have it reviewed"

step "lints"
lint() { cargo clippy --locked --quiet --no-deps "$@" -- -D warnings; }
lint --workspace --all-targets
# The weaknesses are in libraries only.
lint -p encrypted-vault -p master-key-manager -p service-runtime -p shared-proto \
    --features encrypted-vault/sabotage,master-key-manager/sabotage
lint --all-targets --manifest-path tests/policy-oracle/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}"
# The joint build above has all features of shared-proto; each half must stand alone, and so must neither.
for features in '' seal open; do lint --all-targets -p shared-proto --features "$features"; done

step "documents of the code"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps

step "trust edges of the builds"
# One package for each build: a joint build would unify the features, and each binary would get both halves. A release is
# built in the same way; scripts/test.sh uses what is built here.
has() { grep -qaF -e "$2" "$bin/$1"; }
expect() { # SERVICE HALF
    local said
    said=$("$bin/$1" --version)
    [[ $said == *" ($2)" ]] || die "$1 --version says '$said': its build should have one half of shared-proto"
}
# What the features say is seen in the code, too: a text that only the one and the other half uses.
seals='splitvault/1/release' opens='splitvault: this binary can open'
for build in "${builds[@]}"; do
    profile=dev bin=${CARGO_TARGET_DIR:-target}/$build
    [[ $build == debug ]] || profile=$build
    for service in encrypted-vault master-key-manager; do
        cargo build --profile "$profile" --locked --quiet -p "$service"
    done
    expect encrypted-vault opens
    expect master-key-manager seals
    has master-key-manager "$seals" || die "the manager cannot derive release keys, or the label has moved"
    has encrypted-vault "$opens" || die "the vault cannot open envelopes, or the mark has moved"
    ! has encrypted-vault "$seals" || die "the vault's binary derives release keys"
    ! has master-key-manager "$opens" || die "the manager's binary opens envelopes"
    for service in encrypted-vault master-key-manager; do
        ! has "$service" SPLITVAULT_SABOTAGE || die "$service has its weaknesses for the drills built in"
    done
done

printf '\nAll checks passed.\n'
