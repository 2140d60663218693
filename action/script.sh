#!/usr/bin/env bash
# Finds the program for this machine, proves it by the SHA-256 that is committed in checksums.txt, and becomes it
# (`greenroom action`). Nothing else is ever run: not what the network brought, not what a cache holds.
#
# Reads GREENROOM_ACTION_VERSION and GREENROOM_ACTION_BINARY of the inputs (GREENROOM_ACTION_*, which the program
# reads by itself), RUNNER_TOOL_CACHE and RUNNER_TEMP. No variable changes where the program comes from or what its
# digest is.
#
# Exit codes are those of the program: 2 what was asked for is wrong (a version without a checksum, a machine that
# has no program), 3 something around it is missing or refused (no download, other bytes, a full disk). 130 and 143
# are a download that was cancelled.
#
# For bash 3.2 and newer (macOS), and the tools of any runner.
set -euo pipefail
shopt -s execfail

readonly inherited_path=${PATH:-} inherited_locale=${LC_ALL-unset}
inherited_mask=$(umask)
readonly inherited_mask
# Tools of the machine go before those that an earlier step put first.
PATH=/usr/bin:/bin:/usr/sbin:/sbin${inherited_path:+:$inherited_path}
LC_ALL=C
umask 022

here=$(cd -- "${BASH_SOURCE[0]%/*}" && pwd -P)
readonly here
readonly checksums=$here/checksums.txt
# What this step alone can read and write; gone when it ends, unless the program runs from there.
draft=
loading=

# One line, whatever is in it.
line() { printf '%s' "$*" | tr -s '\000-\037\177' ' '; }
# As data of a workflow command.
data() { line "$*" | sed 's/%/%25/g'; }

# refuse CODE SENTENCE: for the log and for the output `reason`. Never inside $(..), which would catch it.
refuse() {
    local code=$1
    shift
    printf '::error title=Greenroom::%s\n' "$(data "$*")"
    if [ -n "${GITHUB_OUTPUT:-}" ]; then printf 'reason=%s\n' "$(line "$*")" >> "$GITHUB_OUTPUT" || true; fi
    exit "$code"
}

# shellcheck disable=SC2329 # The traps call it.
clean_up() {
    if [ -n "$loading" ]; then kill -TERM "$loading" 2> /dev/null || true; fi
    if [ -n "$draft" ]; then rm -rf -- "$draft"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Prints the SHA-256 of a file, by whichever tool the machine has.
sha256() {
    local said
    if command -v sha256sum > /dev/null; then
        said=$(sha256sum < "$1") || return 1
    else
        said=$(shasum -a 256 < "$1") || return 1
    fi
    printf '%s' "${said%% *}"
}

is_digest() { case $1 in *[!0-9a-f]*) return 1 ;; *) [ ${#1} = 64 ] ;; esac; }

# Prints what checksums.txt knows of a version (empty: the newest) for a platform: `version archive program`.
wanted() {
    awk -v version="$1" -v platform="$2" '
        /^#/ || $1 == "source" || NF == 0 { next }
        { newest = $1 }
        $2 == platform { found[$1] = $1 " " $3 " " $4 }
        END {
            if (version == "") version = newest
            if (version in found) print found[version]
        }' "$checksums"
}

# Whether nobody but this user may change what is named: only then does it stay what was hashed.
is_ours() {
    local each
    for each in "$@"; do
        if [ ! -O "$each" ]; then return 1; fi
    done
    [ -z "$(find "$@" -prune \( -perm -020 -o -perm -002 \) -print)" ]
}

# become PROGRAM: by exec, so that the signals of a cancelled run reach it.
become() {
    # The program is told nothing of what was changed here.
    case $1 in "$draft"/*) draft= ;; esac
    clean_up
    trap - EXIT INT TERM
    umask "$inherited_mask"
    PATH=$inherited_path
    if [ "$inherited_locale" = unset ]; then unset LC_ALL; else LC_ALL=$inherited_locale; fi
    exec "$1" action || true
    PATH=/usr/bin:/bin
    refuse 3 "the program cannot be run here: $1 (the line above says why)"
}

# run_named PROGRAM: one that is there already.
run_named() {
    local program=$1 digest
    case $program in /*) ;; *) program=${GITHUB_WORKSPACE:-$PWD}/$program ;; esac
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then refuse 2 "the input binary names no program: $program"; fi
    digest=$(sha256 "$program") || refuse 3 "the program that the input binary names cannot be read: $program"
    if ! awk -v digest="$digest" '!/^#/ && $4 == digest { found = 1 } END { exit !found }' "$checksums"; then
        printf '::notice title=Greenroom::%s\n' \
            "$(data "$program is run because the input binary names it. Its SHA-256 $digest is that of no release, so nothing proves what it is")"
    fi
    become "$program"
}

# check_cached PROGRAM DIGEST: whether it is there. What is there and is something else is not run, and not
# replaced in silence either: somebody has to look.
check_cached() {
    local program=$1 folder=${1%/*} found each
    for each in "${folder%/*}" "$folder" "$program"; do
        if [ -L "$each" ]; then refuse 3 "a link stands where the cached program should be, and is not followed: remove $each"; fi
    done
    if [ ! -e "$program" ]; then return 1; fi
    if [ ! -f "$program" ]; then refuse 3 "what stands where the cached program should be is no file: remove $folder"; fi
    found=$(sha256 "$program") || refuse 3 "the cached program cannot be read: $program"
    if [ "$found" != "$2" ]; then
        refuse 3 "the cached program is not the one that was released (its SHA-256 is $found instead of $2) and is not run: find out who changed it, then remove $folder"
    fi
}

# make_draft FOLDER: in it, for this step alone.
make_draft() {
    draft=$(mktemp -d "$1/.draft.XXXXXXXX") || refuse 3 "no folder can be made in $1: the disk is full, or it is not this user's"
}

# load ADDRESS FILE: waited for in such a manner that a signal ends it at once. Answers what curl answers.
load() {
    local scheme='=https' status=0
    # Nothing is encrypted on loopback alone, and only checksums.txt can say so.
    case $1 in
        https://*) ;;
        http://127.0.0.1:[0-9]*) scheme='=http' ;;
        *) refuse 3 "the source in checksums.txt is not https" ;;
    esac
    # No settings of the user's: they could turn off what is asked for here.
    curl -q --proto "$scheme" --proto-redir "$scheme" --tlsv1.2 --fail --location --max-redirs 5 --silent --show-error \
        --retry 4 --retry-delay 1 --retry-connrefused --connect-timeout 20 --max-time 300 --max-filesize 268435456 \
        --output "$2" -- "$1" < /dev/null &
    loading=$!
    wait "$loading" || status=$?
    loading=
    return "$status"
}

# fetch ADDRESS ARCHIVE-DIGEST PROGRAM-DIGEST: into $draft/greenroom, proved twice.
fetch() {
    local archive=$draft/archive status=0 found
    load "$1" "$archive" || status=$?
    case $status in
        0) ;;
        23) refuse 3 "the program could not be written to $draft: the disk is full" ;;
        *) refuse 3 "the program could not be had from $1 (curl ended with $status and says why above)" ;;
    esac
    found=$(sha256 "$archive") || refuse 3 "what came from $1 cannot be read"
    if [ "$found" != "$2" ]; then
        refuse 3 "what came from $1 is not what was released (its SHA-256 is $found instead of $2) and is not run"
    fi
    # To standard output: no name in an archive is ever a path here.
    tar -xzOf "$archive" greenroom > "$draft/greenroom" \
        || refuse 3 "the archive could not be unpacked in $draft: the disk is full, or no program is in it"
    found=$(sha256 "$draft/greenroom") || refuse 3 "what was unpacked in $draft cannot be read"
    if [ "$found" != "$3" ]; then
        refuse 3 "the program in $1 is not the one that was released (its SHA-256 is $found instead of $3) and is not run"
    fi
    chmod 755 "$draft/greenroom"
    rm -f -- "$archive"
}

main() {
    local machine platform version archive digest cache folder source
    if ! command -v sha256sum > /dev/null && ! command -v shasum > /dev/null; then
        refuse 3 "this machine has neither sha256sum nor shasum, so nothing can be proved here"
    fi
    if [ ! -f "$checksums" ]; then refuse 3 "the checksums are missing beside this action: $checksums"; fi
    if [ -n "${GREENROOM_ACTION_BINARY:-}" ]; then run_named "$GREENROOM_ACTION_BINARY"; fi

    machine=$(uname -sm)
    case $machine in
        'Linux x86_64' | 'Linux amd64') platform=linux-x64 ;;
        'Linux aarch64' | 'Linux arm64') platform=linux-arm64 ;;
        'Darwin x86_64') platform=macos-x64 ;;
        'Darwin arm64') platform=macos-arm64 ;;
        *) refuse 2 "there is no program for $machine, only for Linux and macOS on x64 and arm64" ;;
    esac
    version=${GREENROOM_ACTION_VERSION:-}
    version=${version#v}
    case $version in *[!0-9A-Za-z.+-]*) refuse 2 "the input version is no version: $version" ;; esac
    read -r version archive digest <<< "$(wanted "$version" "$platform")" || true
    if [ -z "$version" ]; then
        refuse 2 "this commit of the action has no checksum of version ${GREENROOM_ACTION_VERSION:-(any)} for $platform, and what has none is not run: use a release of the action that has it"
    fi
    if ! is_digest "$archive" || ! is_digest "$digest"; then refuse 3 "the checksums of version $version for $platform are none"; fi

    cache=${RUNNER_TOOL_CACHE:-${RUNNER_TEMP:-${TMPDIR:-/tmp}}}/greenroom
    folder=$cache/$digest
    if ! check_cached "$folder/greenroom" "$digest"; then
        if mkdir -p -- "$folder" 2> /dev/null && [ -w "$folder" ] && [ -w "$cache" ]; then
            # What steps left that were killed.
            find "$cache" -name '.draft.*' -prune -mtime +0 -exec rm -rf -- {} + 2> /dev/null || true
            make_draft "$cache"
        else
            cache=
            make_draft "${RUNNER_TEMP:-${TMPDIR:-/tmp}}"
        fi
        source=$(awk '$1 == "source" { print $2; exit }' "$checksums")
        fetch "$source/v$version/greenroom-$platform.tar.gz" "$archive" "$digest"
        if [ -z "$cache" ]; then become "$draft/greenroom"; fi
        # Whoever does the same at the same time puts the same bytes there, and a rename puts all or nothing.
        mv -f -- "$draft/greenroom" "$folder/greenroom" || refuse 3 "the program could not be put into $folder"
        check_cached "$folder/greenroom" "$digest" || refuse 3 "the program has gone from $folder"
    fi
    if is_ours "$cache" "$folder" "$folder/greenroom"; then become "$folder/greenroom"; fi

    # Others can change that cache, such as the user of a container: what is run is a copy that they cannot
    # reach, proved after it was made.
    clean_up
    make_draft "${RUNNER_TEMP:-${TMPDIR:-/tmp}}"
    cp -- "$folder/greenroom" "$draft/greenroom" || refuse 3 "the program could not be copied to $draft: the disk is full"
    chmod 755 "$draft/greenroom"
    if [ "$(sha256 "$draft/greenroom")" != "$digest" ]; then refuse 3 "$folder was changed at this moment: nothing is run"; fi
    become "$draft/greenroom"
}

main
