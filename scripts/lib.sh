# shellcheck shell=bash
# Functions shared by the scripts; sourced, never run. Works with macOS's bash 3.2.

# Progress and errors go to stderr: stdout is for what a caller captures.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Runs a command as root, if that needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_apt() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

can_brew() {
    command -v brew >/dev/null && [ "$(id -u)" != 0 ]
}

# apt_install PACKAGE…: updates the package lists first, since they may be missing (a fresh image) or old.
# apt-get's output is shown only if it fails.
apt_install() {
    local output
    say "installing $* with apt-get"
    output=$(as_root apt-get update -qq 2>&1) || say "apt-get update failed; trying with the lists at hand: $output"
    output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 2>&1) || {
        say "$output"
        return 1
    }
}

# The same for packages of services: none is started now or at boot, and no database cluster is made.
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

# Cargo's target folder, wherever it is configured to be.
target_dir() {
    cargo metadata --format-version 1 --no-deps --offline | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# The packages and features of every debug build in scripts/test; with others, cargo recompiles most dependencies.
# shellcheck disable=SC2034 # used by those who source this
one_build=(--locked --workspace --features tasklane/otlp)

# The binary to test: TASKLANE_BIN, or a new debug build.
debug_build() {
    if [ -z "${TASKLANE_BIN:-}" ]; then
        cargo build --quiet --locked --bin tasklane >&2 && printf '%s/debug/tasklane\n' "$(target_dir)"
    else
        printf '%s\n' "$TASKLANE_BIN"
    fi
}

# with_postgres COMMAND…: runs it with the URL of a throw-away PostgreSQL in TEST_POSTGRES_URL, and stops that
# afterwards. To be run in the project's folder.
with_postgres() {
    local folder status=0
    folder=$(mktemp -d) && chmod 711 "$folder" && TEST_POSTGRES_URL=$(scripts/postgres start "$folder/pg") || return
    export TEST_POSTGRES_URL TEST_POSTGRES_SCRIPT=$PWD/scripts/postgres
    "$@" || status=$?
    scripts/postgres stop "$folder/pg"
    rm -rf "$folder"
    return "$status"
}

oldest_node=20 # the oldest version that everything here supports

node_is_usable() {
    local version
    command -v npm >/dev/null && version=$(node --version 2>/dev/null) || return 1
    version=${version#v}
    [ "${version%%.*}" -ge "$oldest_node" ]
}

# Makes Node with npm available: the one on PATH, or an installed one that is put before it.
ready_node() {
    local node
    node_is_usable && return
    node=$(scripts/tool node) && PATH=$(dirname "$node"):$PATH && node_is_usable && return
    say "Node $oldest_node or newer, with npm, is missing"
    return 1
}

# install_packages FOLDER…: as their lock files say, unless they were already installed from the same lock file.
# No package's own scripts run.
install_packages() {
    local folder
    for folder; do
        cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-by" && continue
        npm ci --prefix "$folder" --no-progress --ignore-scripts >&2
        cp "$folder/package-lock.json" "$folder/node_modules/.installed-by"
    done
}
