# Shared by the scripts in ci/; sourced, with the repository's root as working directory.
# shellcheck shell=bash

say() { echo "${0##*/}: $*" >&2; }
die() {
    say "$*"
    exit 1
}

# skip WHAT: says what is left out, and why; ci/run counts these lines.
skip() { echo "SKIP $*"; }

# known CASE: why it is known to fail inside; nothing if it is not.
known() { awk -F '\t' -v name="$1" '$1 == name { print $2 }' ci/inside.txt; }

# need PROGRAM HINT: ends the script if PROGRAM isn't there.
need() { command -v "$1" >/dev/null || die "$1 is missing; $2"; }

# Where things that outlive a run are kept: never inside the tree.
cache_dir() { echo "${RINGFENCE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringfence}"; }

# The host's target triple as rustc names it.
host_triple() { rustc -vV | sed -n 's/^host: //p'; }

# Cargo's target directory, wherever the configuration puts it.
target_dir() {
    cargo metadata --format-version 1 --no-deps --offline | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])'
}

# Where binaries of PROFILE lie: .cargo/config.toml builds for an explicit target.
bin_dir() { echo "$(target_dir)/$(host_triple)/$1"; }

# Makes cargo build for arm64 when it is given `--target $target`. Debian's compiler has that
# standard library beside it, rustup's has not; so this has a target directory of its own.
arm64_toolchain() {
    need aarch64-linux-gnu-gcc "run ci/packages as root"
    # shellcheck disable=SC2034 # for the scripts that source this
    target=aarch64-unknown-linux-gnu
    CARGO_TARGET_DIR=${RINGFENCE_ARM64_TARGET:-$(target_dir)/arm64}
    export CARGO_TARGET_DIR RUSTC=/usr/bin/rustc
}

# machine_works ARCH: whether there can be an emulated machine (ci/machine), which then must hand
# on a status; if not, says so.
machine_works() {
    local status=0 out
    out=$(ci/machine "$1" 'exit 42' 2>&1 </dev/null) || status=$?
    case $status in
    42) return 0 ;;
    77) grep '^SKIP ' <<<"$out" ;;
    *) die "the machine ends with $status where its command ended with 42: $out" ;;
    esac
    return 1
}

# contract_test CARGO-OPTION...: builds the contract of platforms and prints the program's path.
contract_test() {
    cargo test -q --no-run -p ringfence-platform --test contract --message-format json "$@" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

# guest_programs TRIPLE STRIP: the guest programs, the sandbox and the contract of platforms, built
# for TRIPLE and stripped by the command STRIP (a tenth of them is left), to $work.
guest_programs() {
    local triple=$1 strip=$2 built
    built=$(target_dir)
    built=${CARGO_TARGET_DIR:-$built}/$triple
    cargo build -q --target "$triple" -p guests
    cargo build -q --target "$triple" --profile fast -p ringfence
    "$strip" -o "$work/guests" "$built/debug/guests"
    "$strip" -o "$work/ringfence" "$built/fast/ringfence"
    "$strip" -o "$work/contract" "$(contract_test --target "$triple")"
}

# contract_result FILE: what there is to say about a run of it.
contract_result() { tr -d '\r' <"$1" | grep -E '^test .* FAILED$|^thread .* panicked|^test result' || true; }

# part NAME: what machines printed under the heading `== NAME`, from $work/console.
part() { tr -d '\r' <"$work/console" | awk -v name="$1" '/^== / { on = $2 == name; next } on'; }

# judge MACHINE WHERE LIST: what became of the cases of LIST under the heading WHERE (which ends in
# `native` where there is no sandbox); false if one failed. What is known to fail inside stands in
# ci/inside.txt.
judge() {
    local machine=$1 where=$2 list=$3 passed=0 left_out=0 expected=0 failed=0 case verdict rest
    part "$where" >"$work/out"
    while read -r case; do
        read -r verdict _ rest < <(grep -E "^(ok|FAIL|SKIP) $case(:|\$)" "$work/out" | tail -n 1) || true
        case $verdict in
        ok)
            passed=$((passed + 1))
            if [[ $where != *native ]] && [ -n "$(known "$case")" ]; then
                echo "FAIL $case passes inside: take it out of ci/inside.txt"
                failed=$((failed + 1))
            fi
            ;;
        SKIP) left_out=$((left_out + 1)) && skip "$case on $machine, $where: $rest" ;;
        *)
            if [[ $where != *native ]] && [ -n "$(known "$case")" ]; then
                expected=$((expected + 1))
            else
                failed=$((failed + 1))
                echo "FAIL $case on $machine, $where: ${rest:-it was never run}"
            fi
            ;;
        esac
        verdict=
    done <"$list"
    echo "guest programs on $machine, $where: $passed passed, $left_out left out, $expected known to fail, $failed failed"
    [ $failed = 0 ]
}

# What runs a command as an ordinary user: nobody's rights, no groups.
# shellcheck disable=SC2034 # for the scripts that source this
as_user=(setpriv --reuid 1000 --regid 1000 --clear-groups --)

# Whether this host lets WHO (a command prefix, possibly `env`) make the namespaces of a sandbox.
can_sandbox() { "$@" unshare --user --map-root-user --mount --pid --fork --ipc --uts --net true 2>/dev/null; }
