# shellcheck shell=bash
# What the scripts share; sourced, never run. Works with bash 3.2, the one that macOS has.

# Progress and complaints go to stderr: stdout is for what a caller captures.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Runs a command as root, where that needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_apt() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

can_brew() {
    command -v brew >/dev/null && [ "$(id -u)" != 0 ]
}

# apt_install PACKAGE…: the package lists may be missing (a fresh image) or old, so they are brought up to date first.
# apt-get's own words are shown only when it fails.
apt_install() {
    local told
    say "installing $* with apt-get"
    told=$(as_root apt-get update -qq 2>&1) || say "apt-get update failed; trying with the lists at hand: $told"
    told=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 2>&1) || {
        say "$told"
        return 1
    }
}

# The same for packages of services: none of these is started now or when the machine starts, and no database cluster is made.
apt_install_idle() {
    local policy=/usr/sbin/policy-rc.d conf=/etc/postgresql-common/createcluster.conf kept made='' status=0 package unit
    kept=$(mktemp)
    apt_install postgresql-common || return 1
    [ ! -e "$conf" ] || cp "$conf" "$kept"
    echo 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy" && made=yes
    fi
    apt_install "$@" || status=1
    [ -z "$made" ] || as_root rm -f "$policy"
    as_root cp "$kept" "$conf"
    rm -f "$kept"
    for package; do
        for unit in $(dpkg -L "$package" 2>/dev/null | sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p'); do
            as_root systemctl disable --quiet "$unit" >/dev/null 2>&1 || true
        done
    done
    return "$status"
}

# Cargo's target folder, wherever it was told to put it.
target_dir() {
    cargo metadata --format-version 1 --no-deps --offline | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# The packages and features of every debug build of scripts/test: with others, cargo compiles most dependencies again.
# shellcheck disable=SC2034 # used by those who source this
one_build=(--locked --workspace --features tasklane/otlp)

# The binary to test: the one that TASKLANE_BIN names, else a debug build made now.
debug_build() {
    if [ -z "${TASKLANE_BIN:-}" ]; then
        cargo build --quiet --locked --bin tasklane >&2 && printf '%s/debug/tasklane\n' "$(target_dir)"
    else
        printf '%s\n' "$TASKLANE_BIN"
    fi
}

# with_postgres COMMAND…: runs it with a throw-away PostgreSQL in TEST_POSTGRES_URL and stops that
# after it. The working folder is the project's.
with_postgres() {
    local place status=0
    place=$(mktemp -d) && chmod 711 "$place" && TEST_POSTGRES_URL=$(scripts/postgres start "$place/pg") || return
    export TEST_POSTGRES_URL TEST_POSTGRES_SCRIPT=$PWD/scripts/postgres
    "$@" || status=$?
    scripts/postgres stop "$place/pg"
    rm -rf "$place"
    return "$status"
}

oldest_node=20 # the oldest that everything here runs on

node_is_usable() {
    local version
    command -v npm >/dev/null && version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    [ "${version%%.*}" -ge "$oldest_node" ]
}

# Sees to it that there is Node with npm: the one on PATH, or one that is put before it.
ready_node() {
    local node
    node_is_usable && return
    node=$(scripts/tool node) && PATH=$(dirname "$node"):$PATH && node_is_usable && return
    say "Node $oldest_node or newer, with npm, is missing"
    return 1
}

# install_packages FOLDER…: by their lock files. What is installed is left alone while the lock file is the one it
# was installed by. No package's own scripts run.
install_packages() {
    local place
    for place; do
        cmp -s "$place/package-lock.json" "$place/node_modules/.installed-by" && continue
        npm ci --prefix "$place" --no-progress --ignore-scripts >&2
        cp "$place/package-lock.json" "$place/node_modules/.installed-by"
    done
}
