#!/bin/sh
# `make install` and `make uninstall` call this: `install.sh install MODULE.so` and `install.sh uninstall`.
# The module goes where `apxs -q LIBEXECDIR` says. Debian's layout (mods-available) also gets wsgi_rs.load and
# wsgi_rs.conf, ready for a2enmod; elsewhere the LoadModule line to add is printed. DESTDIR goes before every path.
# Nothing is enabled, and Apache is not restarted: that is the administrator's decision.
set -eu
cd "$(dirname "$0")/.."

action=$1
destdir=${DESTDIR:-}
modules=$(apxs -q LIBEXECDIR)
available=/etc/apache2/mods-available
module=$modules/mod_wsgi_rs.so

# With a DESTDIR the layout is that of the machine that packages, unless the folder brings one of its own.
debian() { [ -d "$destdir$available" ] || [ -d $available ] || [ -e /etc/debian_version ]; }

install_module() {
    install -d "$destdir$modules"
    install -m 644 "$1" "$destdir$module"
    echo "installed $destdir$module"
    if debian; then
        install -d "$destdir$available"
        sed "s|/usr/lib/apache2/modules/mod_wsgi_rs.so|$module|" apache-conf/wsgi_rs.load \
            > "$destdir$available/wsgi_rs.load"
        chmod 644 "$destdir$available/wsgi_rs.load"
        # An edited wsgi_rs.conf is the administrator's.
        [ -e "$destdir$available/wsgi_rs.conf" ] ||
            install -m 644 apache-conf/wsgi_rs.conf "$destdir$available/wsgi_rs.conf"
        echo "installed $destdir$available/wsgi_rs.load and wsgi_rs.conf"
        echo "To use it: a2enmod wsgi_rs && apachectl configtest && apachectl graceful"
    else
        echo "To use it, add this line to Apache's configuration:"
        echo "LoadModule wsgi_module $module"
    fi
}

uninstall_module() {
    enabled=$destdir/etc/apache2/mods-enabled
    conf=$destdir$available/wsgi_rs.conf
    # a2dismod also forgets that an administrator enabled it.
    if [ -z "$destdir" ] && [ -L "$enabled/wsgi_rs.load" ]; then
        a2dismod -q -f wsgi_rs
    fi
    rm -f "$enabled/wsgi_rs.load" "$enabled/wsgi_rs.conf" "$destdir$available/wsgi_rs.load" "$destdir$module"
    echo "removed $destdir$module"
    if cmp -s apache-conf/wsgi_rs.conf "$conf"; then
        rm "$conf"
    elif [ -e "$conf" ]; then
        echo "kept $conf, which has been edited"
    fi
    if ! debian; then
        echo "Please remove its LoadModule line from Apache's configuration."
    fi
}

case $action in
    install) install_module "$2" ;;
    uninstall) uninstall_module ;;
    *) echo "install.sh: unknown: $action" >&2; exit 2 ;;
esac
