# Sourced by scripts/test --all, for the tests that need more than Python.  As root on Debian it installs what is missing;
# elsewhere it says which tests are skipped for want of it.

missing=

# need WHAT PACKAGE TEST...: notes the package if the test command fails.
need() {
    what=$1 package=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        missing="$missing $package"
        [ "$can_install" ] || say "tests of $what are skipped: install $package"
    fi
}

there_is() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1"
}

# Debian has the server's programs in a folder for each version.
postgresql() {
    there_is initdb || ls /usr/lib/postgresql/*/bin/initdb
}

can_install=
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    can_install=yes
fi
need "clusters on several hosts" openssh-client there_is ssh
need "clusters on several hosts" openssh-server there_is sshd
need "clusters on several hosts" iproute2 there_is ip
need "clusters on several hosts" nftables there_is nft
for shell in tcsh fish zsh; do
    need "logins with $shell" "$shell" there_is "$shell"
done
need "the store in PostgreSQL" postgresql postgresql
[ "$(id -u)" -eq 0 ] || say "tests that make network namespaces are skipped: only root can make them"
if [ "$missing" ] && [ "$can_install" ]; then
    say "installing$missing"
    # A cluster of PostgreSQL that nobody has asked for is not to be started.
    if [ "$missing" != "${missing#* postgresql}" ] && [ ! -d /etc/postgresql-common ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    # shellcheck disable=SC2086 # these are several words
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing; } </dev/null >&2; then
        say "going on without: the tests that need them are skipped"
    fi
fi
