"""Where scripts for access control, dispatch and handlers are asked: the configuration of the comparison.

mod_wsgi asks the scripts in httpd's children. Here @ASKED@ has a process group answer in daemon mode, and @PLACE@ is
that group: the application behind the questions, access.wsgi itself, runs beside them and dumps what they were given.
"""

from __future__ import annotations

REALM = "realm"
THEIRS = {"ASKED": "", "PLACE": "%{GLOBAL}"}
OURS = {"daemon": {"ASKED": " process-group=site", "PLACE": "site"}, "embedded": THEIRS}

CONFIGURATION = """
WSGIDaemonProcess other threads=1
WSGIScriptAlias /asked "@ROOT@/apps/access.wsgi" process-group=@PLACE@ application-group=%{GLOBAL}
WSGIScriptAlias /dispatched-here "@ROOT@/apps/access.wsgi" process-group=%{GLOBAL} application-group=%{GLOBAL}
WSGIScriptAlias /dispatched-set "@ROOT@/apps/environ.wsgi" application-group=set callable-object=wsgi_callable
Alias /asked-file/ "@ROOT@/htdocs/"
Alias /by-extension/ "@ROOT@/htdocs/"
Alias /by-location/there/ "@ROOT@/htdocs/"

<Location /asked/access>
    WSGIAccessScript "@ROOT@/apps/access.wsgi"@ASKED@
</Location>
<Location /asked/access/granted-and-denied>
    Require all denied
</Location>
<Location /asked/access/any>
    Satisfy Any
    AuthType Basic
    AuthName @REALM@
    AuthUserFile "@ROOT@/users"
    Require valid-user
</Location>
<Location /asked/access/deeper>
    WSGIAccessScript "@ROOT@/apps/access.wsgi" application-group=deeper@ASKED@
</Location>
<Location /asked/access/host>
    WSGIAccessScript "@ROOT@/apps/access.wsgi" application-group=%{HOST}@ASKED@
</Location>
<Location /asked/access/no-function>
    WSGIAccessScript "@ROOT@/apps/hello.wsgi"@ASKED@
</Location>
<Location /asked/access/no-script>
    WSGIAccessScript "@ROOT@/apps/none.wsgi"@ASKED@
</Location>
<Location /asked/access/syntax>
    WSGIAccessScript "@ROOT@/apps/syntax_error.wsgi"@ASKED@
</Location>
<Location /asked-file>
    WSGIAccessScript "@ROOT@/apps/access.wsgi"@ASKED@
    ErrorDocument 403 /asked/after
</Location>
<Location /asked/after>
    WSGIAccessScript "@ROOT@/apps/access.wsgi"@ASKED@
</Location>

<LocationMatch "^/asked/(basic|group)">
    AuthType Basic
    AuthName @REALM@
    AuthBasicProvider wsgi
    WSGIAuthUserScript "@ROOT@/apps/access.wsgi"@ASKED@
    WSGIAuthGroupScript "@ROOT@/apps/access.wsgi"@ASKED@
</LocationMatch>
<Location /asked/basic>
    Require valid-user
</Location>
<Location /asked/basic/file-next>
    AuthBasicProvider wsgi file
    AuthUserFile "@ROOT@/users"
</Location>
<Location /asked/basic/file-first>
    AuthBasicProvider file wsgi
    AuthUserFile "@ROOT@/users"
</Location>
<Location /asked/basic/not-authoritative>
    AuthBasicAuthoritative Off
</Location>
<Location /asked/basic/staff-only>
    AuthMerging Off
    Require user staff
</Location>
<Location /asked/basic/all>
    WSGIAccessScript "@ROOT@/apps/access.wsgi"@ASKED@
    Require wsgi-group staff
</Location>
<Location /asked/basic/no-function>
    WSGIAuthUserScript "@ROOT@/apps/hello.wsgi"@ASKED@
</Location>
<Location /asked/basic/no-script>
    WSGIAuthUserScript "@ROOT@/apps/none.wsgi"@ASKED@
</Location>
<Location /asked/basic/syntax>
    WSGIAuthUserScript "@ROOT@/apps/syntax_error.wsgi"@ASKED@
</Location>
<Location /asked/no-user-script>
    AuthType Basic
    AuthName @REALM@
    AuthBasicProvider wsgi
    Require valid-user
</Location>

<Location /asked/digest>
    AuthType Digest
    AuthName @REALM@
    AuthDigestProvider wsgi
    WSGIAuthUserScript "@ROOT@/apps/access.wsgi"@ASKED@
    Require valid-user
</Location>
<Location /asked/digest/no-function>
    WSGIAuthUserScript "@ROOT@/apps/hello.wsgi"@ASKED@
</Location>
<Location /asked/digest/no-script>
    WSGIAuthUserScript "@ROOT@/apps/none.wsgi"@ASKED@
</Location>

<Location /asked/group/one>
    Require wsgi-group staff
</Location>
<Location /asked/group/words>
    Require wsgi-group guests "two words" staff
</Location>
<Location /asked/group/lines>
    Require wsgi-group admins
    Require wsgi-group staff
</Location>
<Location /asked/group/all>
    <RequireAll>
        Require wsgi-group other
        Require wsgi-group staff
    </RequireAll>
</Location>
<Location /asked/group/not>
    <RequireAll>
        Require valid-user
        Require not wsgi-group guests
    </RequireAll>
</Location>
<Location /asked/group/any>
    <RequireAny>
        Require user ann
        Require wsgi-group staff
    </RequireAny>
</Location>
<Location /asked/group/utf-8>
    Require wsgi-group "José"
</Location>
<LocationMatch "^/asked/group/no-function">
    WSGIAuthGroupScript "@ROOT@/apps/hello.wsgi"@ASKED@
</LocationMatch>
<LocationMatch "^/asked/group/no-script">
    WSGIAuthGroupScript "@ROOT@/apps/none.wsgi"@ASKED@
</LocationMatch>
<LocationMatch "^/asked/group/syntax">
    WSGIAuthGroupScript "@ROOT@/apps/syntax_error.wsgi"@ASKED@
</LocationMatch>
<LocationMatch "^/asked/group/(no-function|no-script|syntax)/one">
    Require wsgi-group staff
</LocationMatch>
<LocationMatch "^/asked/group/(no-function|no-script|syntax)/not">
    <RequireAll>
        Require valid-user
        Require not wsgi-group guests
    </RequireAll>
</LocationMatch>
<LocationMatch "^/asked/group/(no-function|no-script|syntax)/any">
    <RequireAny>
        Require wsgi-group staff
        Require user ann
    </RequireAny>
</LocationMatch>
<LocationMatch "^/asked/no-group-script">
    AuthType Basic
    AuthName @REALM@
    AuthBasicProvider wsgi
    WSGIAuthUserScript "@ROOT@/apps/access.wsgi"@ASKED@
</LocationMatch>
<Location /asked/no-group-script/one>
    Require wsgi-group staff
</Location>
<Location /asked/no-group-script/not>
    <RequireAll>
        Require valid-user
        Require not wsgi-group guests
    </RequireAll>
</Location>

<LocationMatch "^/dispatched">
    WSGIDispatchScript "@ROOT@/apps/access.wsgi"
</LocationMatch>
<Location /dispatched/restricted>
    WSGIRestrictProcess site
</Location>
<Location /dispatched/no-function>
    WSGIDispatchScript "@ROOT@/apps/hello.wsgi"
</Location>
<Location /dispatched/no-script>
    WSGIDispatchScript "@ROOT@/apps/none.wsgi"
</Location>
<Location /dispatched/syntax>
    WSGIDispatchScript "@ROOT@/apps/syntax_error.wsgi"
</Location>
<Location /dispatched/passed>
    WSGIPassAuthorization On
</Location>

WSGIHandlerScript dumped "@ROOT@/apps/access.wsgi"
WSGIHandlerScript dumped-main "@ROOT@/apps/access.wsgi" application-group=%{GLOBAL} pass-authorization=On
WSGIHandlerScript dumped-here "@ROOT@/apps/access.wsgi" process-group=%{GLOBAL}
WSGIHandlerScript no-function "@ROOT@/apps/hello.wsgi"
WSGIHandlerScript no-script "@ROOT@/apps/none.wsgi"
WSGIHandlerScript syntax "@ROOT@/apps/syntax_error.wsgi"
<Location /by-location>
    SetHandler dumped
</Location>
<Location /by-location/main>
    SetHandler dumped-main
</Location>
<Location /by-location/here>
    SetHandler dumped-here
</Location>
<Location /by-location/callable>
    WSGICallableObject wsgi_callable
</Location>
<Location /by-location/no-path-info>
    AcceptPathInfo Off
</Location>
<Location /by-location/no-function>
    SetHandler no-function
</Location>
<Location /by-location/no-script>
    SetHandler no-script
</Location>
<Location /by-location/syntax>
    SetHandler syntax
</Location>
<Location /by-location/unknown>
    SetHandler nothing
</Location>
<Location /by-location/inner>
    WSGIHandlerScript dumped "@ROOT@/apps/hello.wsgi"
</Location>
<Location /by-location/dispatched>
    WSGIDispatchScript "@ROOT@/apps/access.wsgi"
</Location>
<Location /by-extension>
    AddHandler dumped .odd
</Location>
RewriteRule ^/by-rule(/.*)?$ "@ROOT@/htdocs/static.txt$1" [L,H=dumped]
RewriteRule ^/by-dash - [L,H=dumped]
RewriteRule ^/asked/access/rewritten - [E=BY_RULE:yes]
""".replace("@REALM@", REALM)
