"""Names of variables that a folder of secrets may not set.

Guarantees: whoever may write to a folder does not, by a name of this list, run programs for its readers, or choose whom
they trust. The list has what is known of shells, loaders, languages and build tools; it cannot be complete.
"""

from __future__ import annotations

_LIST = """
    PATH HOME SHELL TMPDIR TMP TEMP XDG_CONFIG_HOME
    IFS ENV SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND ZDOTDIR
    EDITOR VISUAL PAGER LESSOPEN LESSCLOSE VIMINIT SSH_ASKPASS SUDO_ASKPASS
    MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKEFILES RUSTC RUSTC_WRAPPER RUSTFLAGS CLASSPATH
    NODE_OPTIONS NODE_PATH JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS MAVEN_OPTS
    DOTNET_STARTUP_HOOKS LUA_INIT PHP_INI_SCAN_DIR
    GCONV_PATH OPENSSL_CONF OPENSSL_MODULES REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS
"""
_NAMES = frozenset(_LIST.split())
_BEGINNINGS = (
    "LD_",
    "DYLD_",
    "BASH_ENV",
    "BASH_FUNC_",
    "GIT_",
    "PYTHON",
    "PERL5",
    "RUBY",
    "SSL_CERT_",
    "SPLITVAULT_",
    "KEY_SERVICE_",
)
_ENDS = ("_PROXY", "PAGER")


def is_dangerous(name: str) -> bool:
    """Says that a variable changes how programs are found or run, or whom they trust. Case does not count."""
    name = name.upper()
    return name in _NAMES or name.startswith(_BEGINNINGS) or name.endswith(_ENDS)
