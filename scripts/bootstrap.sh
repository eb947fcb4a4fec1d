# Sourced by the scripts beside it, with `root` set to the checkout: sees to it that <checkout>/.venv is there and up
# to date. POSIX sh. `ensure_venv runtime`, `ensure_venv dev` and `ensure_venv bench` return once .venv holds what the lock file says.

# A name on the PATH is not enough: it may be a version manager's shim for a version that is not there, or a
# distribution's Python without venv. So each is asked.
find_python() {
    for name in python3.13 python3.12 python3.11 python3; do
        "$name" -c 'import sys, venv, ensurepip, fcntl; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        echo "$name"
        return 0
    done
    return 1
}

no_python() {
    case $(uname -s) in
        Darwin) install='brew install python@3.13' ;;
        *)
            if command -v dnf >/dev/null 2>&1; then
                install='sudo dnf install -y python3.13'
            elif command -v apk >/dev/null 2>&1; then
                install='sudo apk add python3'
            else
                install='sudo apt-get update && sudo apt-get install -y python3 python3-venv'
            fi
            ;;
    esac
    echo "tracker needs Python 3.11 or later with the venv module. Install it with:" >&2
    echo "    $install" >&2
    exit 1
}

# The lock files that .venv was made from lie in it as copies, put there last. Equal copies: nothing to do.
is_current() {
    [ -x "$root/.venv/bin/python" ] && cmp -s "$root/$1" "$root/.venv/installed/$1"
}

# What `dev` installs contains what `runtime` installs, and leaves both copies; `bench` likewise all three.
ensure_venv() {
    case $1 in
        bench) is_current requirements-bench.lock && is_current requirements-dev.lock && is_current requirements.lock &&
            return 0 ;;
        dev) is_current requirements-dev.lock && is_current requirements.lock && return 0 ;;
        runtime) is_current requirements.lock && return 0 ;;
    esac
    python=$(find_python) || no_python
    "$python" "$root/scripts/install_venv.py" "$1" || exit 1
}
