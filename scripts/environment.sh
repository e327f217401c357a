# shellcheck shell=bash
# Sourced by the other scripts, with `root` set to the checkout. Quiet and quick when everything is there.

venv=${root:?}/.venv
log=$venv/install.log

say() { printf 'trainkit: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# python_version COMMAND prints its version, or nothing where the command does not run.
python_version() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || true; }

# is_supported VERSION; the same range as requires-python in pyproject.toml.
is_supported() { case $1 in 3.11.* | 3.12.* | 3.13.*) true ;; *) false ;; esac; }

# find_python sets `python` to the command to make .venv with.
find_python() {
    local candidate version found=
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi
    for candidate in "$@"; do
        version=$(python_version "$candidate")
        if is_supported "$version"; then
            python=$candidate
            return
        fi
        [ -z "$version" ] || found=" (found only $candidate, which is $version)"
    done
    die "needs Python 3.11, 3.12 or 3.13${found:- (found none)}: install one, or name it with PYTHON=/path/to/python"
}

# make_venv leaves a .venv whose Python and pip work; one that was left half made, or whose Python is gone, is made anew.
make_venv() {
    if [ ! -e "$venv/unfinished" ] && is_supported "$(python_version "$venv/bin/python")"; then
        return
    fi
    find_python
    say "making .venv with Python $(python_version "$python")"
    rm -rf -- "$venv"
    mkdir -- "$venv"
    : >"$venv/unfinished"
    "$python" -m venv "$venv" >"$log" 2>&1 ||
        die "cannot make .venv with $python (on Debian: apt-get install python3-venv); see $log"
    rm -- "$venv/unfinished"
}

# pip_install REQUIREMENT installs it, editable, and keeps what pip says in the log.
pip_install() {
    "$venv/bin/python" -m pip --version >"$log" 2>&1 || "$venv/bin/python" -m ensurepip >"$log" 2>&1 ||
        die "there is no pip in .venv: remove that folder and try again"
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --editable "$1" >"$log" 2>&1 && return
    if grep -qiE 'new ?connection|name.?resolution|connect ?timeout|read ?timeout|proxy ?error|from versions: none' "$log"; then
        die "cannot install: the package index is out of reach (no network?); pip's log is $log"
    fi
    die "cannot install: $(grep -m 1 -i '^ *error:' "$log" || echo 'pip failed'); pip's log is $log"
}

# prepare EXTRA makes sure that .venv holds the project with that extra, '' for none. What was installed is remembered as a copy of
# pyproject.toml and the place of the checkout, so that a change of either installs again.
prepare() {
    local extra=$1 stamp wanted old
    stamp=$venv/installed-${extra:-core}
    wanted="$root"$'\n'"$(<"$root/pyproject.toml")"
    is_prepared "$stamp" "$wanted" && return

    # One set-up at a time; the lock goes with the process, so none can be left behind.
    exec 9<"$root/pyproject.toml"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "waiting for another set-up of .venv to end"
        flock 9
    fi
    if ! is_prepared "$stamp" "$wanted"; then
        make_venv
        say "installing${extra:+ with the $extra extra} into .venv (minutes at first; pip's log is $log)"
        for old in "$venv"/installed-*; do # those of another pyproject.toml or place
            if [ -f "$old" ] && [ "$(<"$old")" != "$wanted" ]; then rm -- "$old"; fi
        done
        pip_install "$root${extra:+[$extra]}"
        printf '%s\n' "$wanted" >"$stamp"
        [ -z "$extra" ] || printf '%s\n' "$wanted" >"$venv/installed-core"
    fi
    exec 9<&-
}

# is_prepared STAMP WANTED
is_prepared() { [ -x "$venv/bin/python" ] && [ -f "$1" ] && [ "$(<"$1")" = "$2" ]; }
