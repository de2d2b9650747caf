//! Why there is no connection, and what to look at.

use std::error::Error as _;

use tokio_postgres::Error;

use super::super::error::NO_RIGHT;

/// The cause and the setting to look at. What a server says before it has let a client in is about roles and databases.
pub(super) fn reason(error: &Error) -> (String, &'static str) {
    let shown = error.to_string();
    match (error.as_db_error(), error.source()) {
        (Some(refusal), _) => (refusal.message().to_owned(), of_server(refusal.code().code())),
        (None, Some(cause)) => (format!("{error}: {cause}"), of_client(&shown, &cause.to_string())),
        (None, None) => {
            let advice = of_client(&shown, "");
            (shown, advice)
        }
    }
}

/// The same of a server that did not answer.
pub(super) fn silence() -> (String, &'static str) {
    let advice = "look at the host and the port in database, at the network and at postgres.connect_timeout_ms";
    ("it did not answer in time".to_owned(), advice)
}

/// By the SQLSTATE of the refusal (PostgreSQL, appendix A).
fn of_server(code: &str) -> &'static str {
    match code {
        "28P01" => "look at postgres.password_file and at the role's password",
        "28000" => "let the role in with a line of the server's pg_hba.conf, and look at the role in database",
        "3D000" => "make the database, or name another one in database",
        "53300" => {
            "lower postgres.write_connections and postgres.read_connections, or raise the limit of the role, the database \
             or the server"
        }
        "57P03" => "wait until the server has started",
        NO_RIGHT => "the role does not own the database: ALTER DATABASE … OWNER TO …",
        _ => "look at the server's log",
    }
}

/// By the words of the client, which has no codes.
fn of_client(kind: &str, cause: &str) -> &'static str {
    match kind {
        "error performing TLS handshake" if cause.contains("does not support TLS") => {
            "switch ssl on at the server, or use its Unix socket"
        }
        "error performing TLS handshake" => {
            "postgres.ca_file must have the CA of the server's certificate, and that must bear the host's name in database"
        }
        "invalid configuration" => "name the file with the role's password as postgres.password_file",
        "authentication error" => {
            "look at postgres.password_file, and have pg_hba.conf ask for scram-sha-256 in a hostssl line"
        }
        "error connecting to server" => "look at the host and the port in database, and whether the server runs",
        _ => "look at the server's log",
    }
}
