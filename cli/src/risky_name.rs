//! Names of variables that say where code or a configuration comes from, or whom a program believes.
//!
//! A list, and no proof: programs invent such variables every day. Names that somebody else chose pass it; `--set` does not.

/// Tells whether a variable is known to change how programs are found or run, or whom they believe.
pub(crate) fn is_risky(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    NAMES.contains(&name.as_str())
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
            && !SECRETS.iter().any(|end| name.ends_with(end))
        || ENDS.iter().any(|end| name.ends_with(end))
}

const NAMES: &[&str] = &[
    // Where programs, homes and files are.
    "PATH",
    "CDPATH",
    "HOME",
    "SHELL",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TERMINFO",
    "TERMCAP",
    "LOCPATH",
    "NLSPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "MALLOC_TRACE",
    "KUBECONFIG",
    // Shells.
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "PROMPT_COMMAND",
    "ZDOTDIR",
    "FPATH",
    // What programs start.
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "MANOPT",
    "LESSOPEN",
    "LESSCLOSE",
    "BROWSER",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "SSH_AUTH_SOCK",
    "DISPLAY",
    "CC",
    "CXX",
    "LD",
    "AR",
    "MAKEFLAGS",
    "MFLAGS",
    "GNUMAKEFLAGS",
    "MAKEFILES",
    "MAKE",
    // Interpreters and build tools.
    "CLASSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "JAVA_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "MAVEN_OPTS",
    "MAVEN_ARGS",
    "GRADLE_OPTS",
    "GRADLE_USER_HOME",
    "SBT_OPTS",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "GOFLAGS",
    "GOPROXY",
    "GOROOT",
    "VIMINIT",
    "EXINIT",
    "MYVIMRC",
    "EMACSLOADPATH",
    // Whom TLS believes.
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    "CURL_CA_BUNDLE",
    "CURL_HOME",
    "REQUESTS_CA_BUNDLE",
    "SSLKEYLOGFILE",
];

const BEGINNINGS: &[&str] = &[
    "LD_",
    "DYLD_",
    "GLIBC_",
    "BASH_FUNC_",
    "PYTHON",
    "PERL",
    "RUBY",
    "GEM_",
    "BUNDLE_",
    "LUA_",
    "ERL_",
    "DOTNET_",
    "CORECLR_",
    "COMPLUS_",
    "NPM_CONFIG_",
    "YARN_",
    "PIP_",
    "UV_",
    "CARGO_",
    "GIT_",
    "XDG_",
    "SSL_CERT_",
    "SPLITVAULT_",
];

/// Ends of names that programs take for secrets of theirs, as `CARGO_REGISTRY_TOKEN`.
const SECRETS: &[&str] = &["_TOKEN", "_PASSWORD", "_API_KEY"];

const ENDS: &[&str] = &["_PROXY", "_PAGER", "_EDITOR"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_choose_code_or_whom_to_believe_are_known_in_any_case() {
        for name in [
            "PATH",
            "LD_PRELOAD",
            "BASH_ENV",
            "PYTHONPATH",
            "GIT_SSH_COMMAND",
            "NODE_OPTIONS",
            "MAKEFLAGS",
            "PS4",
            "SHELLOPTS",
            "BASHOPTS",
            "PERL5OPT",
            "RUBYOPT",
            "_JAVA_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "GCONV_PATH",
            "SSH_ASKPASS",
            "TMPDIR",
            "HTTPS_PROXY",
            "https_proxy",
            "no_proxy",
            "SSL_CERT_FILE",
            "npm_config_script_shell",
            "bash_env",
            "PSQL_PAGER",
            "CARGO_HOME",
            "DOTNET_STARTUP_HOOKS",
            "BASH_FUNC_ls",
        ] {
            assert!(is_risky(name), "{name}");
        }
        for name in ["DB_PATH", "OLD_KEY", "DATABASE_URL", "API_KEY", "DB_HOME", "ENVIRONMENT", "CARGO_REGISTRY_TOKEN"]
        {
            assert!(!is_risky(name), "{name}");
        }
    }
}
