# Sourced by the scripts beside it, which set $command (their own name, for messages) and $top (the source tree).
# Makes $top/.venv if there is none and installs ipython1 there from the source tree, so that changes in the tree
# take effect at once.  Nothing is done when that was done before and what is needed has not changed.
#
# $PYTHON chooses the Python; without it the first of python3, python3.13 … that is new enough is taken.

venv=$top/.venv
# While this file is there, the folder is not usable; a virtual environment does not survive being moved, either.
unfinished=$venv/ipython1-unfinished
place=$venv/ipython1-place

say() {
    printf '%s: %s\n' "$command" "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# Whether "$1" is a Python that ipython1 can run on.
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "there is no program $PYTHON, which \$PYTHON asks for"
        new_enough "$PYTHON" || fail "$PYTHON is too old or no Python: ipython1 needs Python 3.11 or newer"
        python=$PYTHON
        return
    fi
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        new_enough "$python" && return
    done
    if found=$(python3 --version 2>/dev/null); then
        fail "$found is too old: ipython1 needs Python 3.11 or newer (name another one with PYTHON=...)"
    fi
    fail "there is no python3: install Python 3.11 or newer (on Debian: apt install python3 python3-venv)"
}

# Runs a command that takes long, in a process group of its own, so that all that it started ends when this script is
# interrupted or terminated: a shell that waits for a command in the foreground leaves it behind.
run() {
    "$python" -c 'import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])' "$@" &
    running=$!
    trap 'end_run; exit 130' INT
    trap 'end_run; exit 143' TERM HUP
    status=0
    wait "$running" || status=$?
    trap - INT TERM HUP
    return "$status"
}

end_run() {
    trap '' INT TERM HUP
    kill -s TERM -- "-$running" 2>/dev/null || kill -s TERM "$running" 2>/dev/null || :
    wait "$running" || :
}

make_venv() {
    find_python
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv module: install it (on Debian: apt install python3-venv)"
    say "making $venv with $("$python" --version)"
    mkdir -p "$venv" || fail "cannot write in $top"
    : >"$unfinished"
    printf '%s\n' "$venv" >"$place"
    run "$python" -m venv "$venv" >"$venv/install.log" 2>&1 ||
        fail "$python could not make $venv; $venv/install.log says why"
}

# What an installation depends on.
requirements() {
    "$python" --version
    cksum <"$top/setup.py"
    cksum <"$top/pyproject.toml"
}

# Whether ipython1 is installed with the extra "$1" as the source tree asks for now.
installed() {
    [ -f "$venv/ipython1-installed$1" ] && requirements | cmp -s - "$venv/ipython1-installed$1"
}

install() {
    rm -f "$venv/ipython1-installed$1"
    say "installing ipython1$1 and what it needs"
    if ! run "$python" -m pip --disable-pip-version-check install --retries 2 --timeout 30 \
        --editable "$top$1" >>"$venv/install.log" 2>&1; then
        if grep -q -e 'NewConnectionError' -e 'NameResolutionError' -e 'ConnectTimeout' "$venv/install.log"; then
            fail "the package index cannot be reached: is there a network? ($venv/install.log has all that pip said)"
        fi
        tail -n 5 "$venv/install.log" >&2
        fail "pip could not install ipython1; $venv/install.log has all that it said"
    fi
    requirements >"$venv/ipython1-installed$1"
    # With an extra, all is there that is needed without it.
    requirements >"$venv/ipython1-installed"
}

# Has ipython1 installed in $venv, with the extra "$1": '' or '[test]'.
environment() {
    if [ -e "$unfinished" ]; then
        say "the last installation did not finish: starting again"
        rm -rf "$venv"
    elif [ -e "$place" ] && [ "$(cat "$place")" != "$venv" ]; then
        say "this folder was moved: starting again"
        rm -rf "$venv"
    elif [ -e "$venv" ] && ! new_enough "$venv/bin/python"; then
        fail "the Python of $venv does not work or is older than 3.11: remove that folder, and it is made anew"
    fi
    [ -e "$venv" ] || make_venv
    python=$venv/bin/python
    installed "$1" || install "$1"
    rm -f "$unfinished"
}
