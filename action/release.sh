#!/usr/bin/env bash
# What a release is made of, step by step; .github/workflows/release.yml and the tests run the same lines.
#
#   release.sh pack PLATFORM PROGRAM FOLDER    FOLDER/greenroom-PLATFORM.tar.gz, the same bytes for the same program
#   release.sh smoke VERSION PROGRAM           it runs, and says that it is that version
#   release.sh checksums VERSION FOLDER        adds the lines of FOLDER's archives to checksums.txt
#   release.sh sums FOLDER                     the text of SHA256SUMS
#   release.sh prove BUILT RELEASED            RELEASED is one commit after BUILT and does nothing but add such lines
#   release.sh verify VERSION FOLDER           FOLDER holds exactly what checksums.txt says of the version
#
# Exit codes: 2 it was called wrongly, 1 what it looks at is not as it must be.
set -euo pipefail
PLATFORMS='linux-arm64 linux-x64 macos-arm64 macos-x64'
here=$(cd -- "${BASH_SOURCE[0]%/*}" && pwd -P)
readonly PLATFORMS here
readonly checksums=$here/checksums.txt

fail() { printf 'release: %s\n' "$*" >&2; exit 1; }
misused() { printf 'release: %s\n' "$*" >&2; exit 2; }

sha256() {
    local said
    if command -v sha256sum > /dev/null; then said=$(sha256sum < "$1"); else said=$(shasum -a 256 < "$1"); fi
    printf '%s' "${said%% *}"
}

check_version() {
    [[ "$1" =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] || misused "$1 is no version such as 1.2.3"
}

# The digest of the program in an archive that holds nothing else.
program_in() {
    local names scratch digest
    names=$(tar -tzf "$1") || fail "$1 is no archive"
    [ "$names" = greenroom ] || fail "$1 holds something else than one file called greenroom: $names"
    scratch=$(mktemp)
    tar -xzOf "$1" greenroom > "$scratch" || fail "$1 cannot be unpacked"
    digest=$(sha256 "$scratch")
    rm -f -- "$scratch"
    printf '%s' "$digest"
}

pack() {
    local platform=$1 program=$2 folder=$3 scratch
    case " $PLATFORMS " in *" $platform "*) ;; *) misused "$platform is none of $PLATFORMS" ;; esac
    [ -f "$program" ] || fail "$program is no file"
    scratch=$(mktemp -d)
    cp -- "$program" "$scratch/greenroom"
    chmod 755 "$scratch/greenroom"
    # Neither who packed it nor when is part of it.
    TZ=UTC0 touch -t 202001010000 "$scratch/greenroom"
    mkdir -p -- "$folder"
    if tar --version 2> /dev/null | grep -q GNU; then
        tar -C "$scratch" --format=ustar --owner=0 --group=0 --numeric-owner -cf "$scratch/archive" greenroom
    else
        tar -C "$scratch" --format ustar --uid 0 --gid 0 --uname '' --gname '' -cf "$scratch/archive" greenroom
    fi
    gzip -9 -n < "$scratch/archive" > "$folder/greenroom-$platform.tar.gz"
    rm -rf -- "$scratch"
}

smoke() {
    local said
    check_version "$1"
    said=$("$2" --version) || fail "$2 does not run"
    [ "$said" = "greenroom $1" ] || fail "$2 says that it is '$said', and not 'greenroom $1'"
    "$2" schema > /dev/null || fail "$2 does not print its schema"
}

add_checksums() {
    local version=$1 folder=$2 platform archive lines=
    check_version "$version"
    if grep -qF -- "$version " <(awk '!/^#/ { print $1 " " }' "$checksums"); then
        fail "checksums.txt knows version $version already, and a version never changes"
    fi
    for platform in $PLATFORMS; do
        archive=$folder/greenroom-$platform.tar.gz
        [ -f "$archive" ] || fail "there is no archive for $platform"
        lines+="$version $platform $(sha256 "$archive") $(program_in "$archive")"$'\n'
    done
    printf '%s' "$lines" >> "$checksums"
}

prove() {
    local built released parents changed
    built=$(git rev-parse --verify --end-of-options "$1^{commit}") || fail "$1 is no commit"
    released=$(git rev-parse --verify --end-of-options "$2^{commit}") || fail "$2 is no commit"
    parents=$(git show --no-patch --format=%P "$released")
    [ "$parents" = "$built" ] || fail "$released does not follow upon $built alone"
    changed=$(git diff-tree -r --no-renames --format= "$built" "$released")
    # One file, of the same kind and mode, changed in place.
    [[ "${changed//$'\t'/ }" =~ ^:100644\ 100644\ [0-9a-f]+\ [0-9a-f]+\ M\ action/checksums[.]txt$ ]] \
        || fail "something else than action/checksums.txt changed: $changed"
    if git diff --no-color --no-ext-diff --unified=0 "$built" "$released" -- action/checksums.txt | tail -n +5 \
        | grep -vE '^(@@ .*|\+[0-9][0-9A-Za-z.-]* (linux|macos)-(x64|arm64) [0-9a-f]{64} [0-9a-f]{64})$'; then
        fail "the line above is not one that a release adds"
    fi
}

verify() {
    local version=$1 folder=$2 platform line archive program found expected=
    check_version "$version"
    for platform in $PLATFORMS; do
        line=$(awk -v version="$version" -v platform="$platform" '$1 == version && $2 == platform' "$checksums")
        [ -n "$line" ] || fail "checksums.txt does not know version $version for $platform"
        read -r _ _ archive program <<< "$line"
        found=$folder/greenroom-$platform.tar.gz
        [ -f "$found" ] && [ ! -L "$found" ] || fail "there is no archive for $platform"
        [ "$(sha256 "$found")" = "$archive" ] || fail "the archive for $platform is another one"
        [ "$(program_in "$found")" = "$program" ] || fail "the program for $platform is another one"
        expected+="greenroom-$platform.tar.gz"$'\n'
    done
    found=$(find "$folder" -mindepth 1 ! -name SHA256SUMS ! -name attestation.jsonl -exec basename {} \; | sort)
    [ "$found"$'\n' = "$expected" ] || fail "there is more, or less, than the archives of a release: $found"
    if [ -f "$folder/SHA256SUMS" ]; then
        [ "$(cd "$folder" && print_sums)" = "$(cat "$folder/SHA256SUMS")" ] || fail "SHA256SUMS says something else"
    fi
}

# As `sha256sum` prints them.
print_sums() {
    local platform
    for platform in $PLATFORMS; do printf '%s  %s\n' "$(sha256 "greenroom-$platform.tar.gz")" "greenroom-$platform.tar.gz"; done
}

case ${1:-} in
    pack) [ $# = 4 ] || misused "pack PLATFORM PROGRAM FOLDER"; pack "$2" "$3" "$4" ;;
    smoke) [ $# = 3 ] || misused "smoke VERSION PROGRAM"; smoke "$2" "$3" ;;
    checksums) [ $# = 3 ] || misused "checksums VERSION FOLDER"; add_checksums "$2" "$3" ;;
    sums) [ $# = 2 ] || misused "sums FOLDER"; cd -- "$2"; print_sums ;;
    prove) [ $# = 3 ] || misused "prove BUILT RELEASED"; prove "$2" "$3" ;;
    verify) [ $# = 3 ] || misused "verify VERSION FOLDER"; verify "$2" "$3" ;;
    *) misused "one of pack, smoke, checksums, sums, prove, verify" ;;
esac
