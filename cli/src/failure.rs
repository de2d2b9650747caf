//! Why a command ends without having done what it was asked, and with which exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use client::shared_proto::Malformed;
use client::shared_proto::error::{ErrorCode, Problem, Retry};
use client::{ClientError, TransportFault};

/// The exit codes of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused, or failed here.
    Failed = 1,
    /// Wrong use of the command.
    WrongUse = 2,
    /// Not there or not allowed, which look the same.
    NotFound = 3,
    /// A service cannot be reached or does not serve at the moment.
    Unavailable = 5,
    /// `run`: the program cannot be run. The number is that of shells.
    CannotRun = 126,
    /// `run`: there is no such program.
    NoProgram = 127,
}

/// The end of a command that failed: a sentence, and what to do next. It never holds a value.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    sentence: String,
    next: Option<String>,
    /// The reader of the output has gone; there is nobody to tell.
    quiet: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { exit, sentence: sentence.into(), next: None, quiet: false }
    }

    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Failed, sentence)
    }

    pub(crate) fn wrong_use(sentence: impl Into<String>) -> Self {
        Self::new(Exit::WrongUse, sentence)
    }

    /// What to do next.
    #[must_use]
    pub(crate) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// What to do next, unless that is said already.
    #[must_use]
    pub(crate) fn or_next(self, next: impl Into<String>) -> Self {
        if self.next.is_some() { self } else { self.next(next) }
    }

    /// The same, said of a secret.
    #[must_use]
    pub(crate) fn about(self, place: &crate::secret_name::SecretAddress) -> Self {
        let next = self.next.map(|next| next.replace("SECRET", &place.to_string()));
        Self { sentence: format!("{place}: {}", self.sentence), next, ..self }
    }

    /// A fault of the operating system: `what` begins the sentence, the reason ends it.
    pub(crate) fn of_system(what: &str, error: &io::Error) -> Self {
        Self::failed(format!("{what}: {}.", reason_of(error)))
    }

    /// A fault of standard output. When its reader has gone, as `head` does, that is no failure.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::of_system("Standard output cannot be written", error) }
    }

    /// A program that could not be begun.
    pub(crate) fn of_program(program: &str, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NoProgram } else { Exit::CannotRun };
        Self::new(exit, format!("{program} cannot be run: {}.", reason_of(error)))
    }

    /// Tells it on standard error, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        let mut text = format!("splitvault: {}\n", visible(&self.sentence));
        if let Some(next) = &self.next {
            text = format!("{text}  {}\n", visible(next));
        }
        // Nothing is left to tell a failure of this to.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.exit as u8)
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<Malformed> for Failure {
    /// Something in an argument is not in its form.
    fn from(Malformed(reason): Malformed) -> Self {
        Self::wrong_use(sentence(reason))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => of_refusal(&problem),
            ClientError::Transport(TransportFault::SetUp) => {
                Self::failed("TLS cannot be set up.").next("Check the CA file of the profile.")
            }
            ClientError::Transport(fault) => Self::new(
                Exit::Unavailable,
                format!("A service does not answer: {fault}."),
            )
            .next(
                "Check the addresses (splitvault profile list), that the services run, and the --ca of a private CA.",
            ),
            ClientError::Malformed { status: status @ 500..=599 } => {
                Self::new(Exit::Unavailable, format!("A service answers with status {status}.")).next(LATER)
            }
            ClientError::Malformed { .. } => Self::failed("What answers is not a service of Splitvault.")
                .next("Check the addresses: splitvault profile list"),
            ClientError::Address(reason) => Self::wrong_use(sentence(reason)),
        }
    }
}

fn of_refusal(problem: &Problem) -> Failure {
    let environment = ErrorCode::EnvironmentNotFound;
    // In a body or a query an unknown environment is a name that breaks the rules.
    let is_unknown = problem.code == ErrorCode::NameInvalid && problem.detail.as_deref() == Some(environment.advice());
    if is_unknown {
        return of_refusal(&Problem::new(environment, problem.request_id.as_str()));
    }
    let code = problem.code;
    let exit = match code.retry() {
        Retry::Later | Retry::SameKey => Exit::Unavailable,
        Retry::No | Retry::NewToken if code.status() == 404 || code == ErrorCode::NotPermitted => Exit::NotFound,
        Retry::No | Retry::NewToken => Exit::Failed,
    };
    let detail = problem.detail.as_deref().map(sentence).filter(|_| !COMPLETE.contains(&code));
    let own = SENTENCES.iter().find(|(known, _)| *known == code).map(|(_, own)| *own);
    let title = own.unwrap_or(&problem.title);
    let told = match detail {
        None => title.to_owned(),
        Some(detail) if title.is_empty() => detail,
        Some(detail) => format!("{title} {detail}"),
    };
    let failure = Failure::new(exit, if told.is_empty() { problem.title.clone() } else { told });
    if code == ErrorCode::Internal {
        return failure.next(format!("Tell whoever runs the services the request id {}.", problem.request_id));
    }
    match NEXT.iter().find(|(known, _)| *known == code) {
        Some((_, next)) => failure.next(*next),
        None if exit == Exit::Unavailable => failure.next(LATER),
        None => failure,
    }
}

const LATER: &str = "Wait a moment, and repeat it. If that lasts, tell whoever runs the services.";

/// Sentences for people where the table's are for authors of clients. With an empty one the detail says it all.
const SENTENCES: &[(ErrorCode, &str)] = &[
    (ErrorCode::NameInvalid, ""),
    (ErrorCode::ParameterInvalid, ""),
    (ErrorCode::BodyInvalid, ""),
    (ErrorCode::ValueInvalid, ""),
    (ErrorCode::LoginRequired, "The last login is too long ago for this."),
    (ErrorCode::MfaRequired, "This needs a login with two factors."),
    (ErrorCode::ApprovalRequired, "This needs the approval of somebody else."),
    (
        ErrorCode::CredentialInvalid,
        "The login does not count: it is unknown, has ended, was disabled, or is not for this address.",
    ),
    (ErrorCode::TokenInvalid, "The vault does not take the token that the manager made."),
    (ErrorCode::OutcomeUnknown, "It is not known whether that was carried out."),
    (
        ErrorCode::VersionConflict,
        "Somebody was faster: another version is the current one, or this one cannot be taken.",
    ),
];

/// Codes of which the sentence says all that the detail does.
const COMPLETE: &[ErrorCode] = &[ErrorCode::VersionConflict, ErrorCode::RotationConflict];

const NEXT: &[(ErrorCode, &str)] = &[
    (ErrorCode::CredentialInvalid, "Log in again: splitvault login"),
    (ErrorCode::LoginRequired, "Log in again: splitvault login"),
    (ErrorCode::LoginFailed, "Try again; a code of the authenticator counts once."),
    (ErrorCode::MfaRequired, "Set up an authenticator (docs/people.md), and log in with its code."),
    (ErrorCode::ApprovalRequired, "Ask for it as docs/deletion.md says."),
    (ErrorCode::NotPermitted, "Ask somebody who manages the policy; splitvault whoami tells who you are."),
    (ErrorCode::EnvironmentNotFound, "Check -e, .splitvault.toml and the name of the secret."),
    (ErrorCode::OutcomeUnknown, "Look before you repeat it: splitvault history SECRET"),
    (ErrorCode::VersionConflict, "Look at what is there: splitvault history SECRET"),
    (ErrorCode::SecretDeleted, "Take it back: splitvault undelete SECRET"),
    (ErrorCode::SecretNotDeleted, "Delete it first: splitvault delete SECRET"),
    (ErrorCode::RotationConflict, "See at which step it is: splitvault describe SECRET"),
    (ErrorCode::VersionExpired, "Write the next version: splitvault put SECRET"),
    (ErrorCode::ValueTooLarge, "Keep the large part elsewhere, and its key here."),
    (ErrorCode::RateLimited, "Wait a little, and repeat it."),
];

/// A text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn reason_of(error: &io::Error) -> String {
    let text = error.to_string();
    // The number that the standard library adds tells people nothing.
    let plain = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = plain.chars();
    letters.next().map(|first| first.to_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// A text without what moves the cursor or hides: others may have written it.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect()
}

/// Tells whether a terminal shows this letter, and does nothing else.
pub(crate) fn is_shown(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_follows_the_error_table() {
        for code in ErrorCode::ALL {
            let failure = of_refusal(&Problem::new(*code, "req_1"));
            let expected = match (code.status(), code.retry()) {
                (_, Retry::Later | Retry::SameKey) => Exit::Unavailable,
                (404, _) => Exit::NotFound,
                _ if *code == ErrorCode::NotPermitted => Exit::NotFound,
                _ => Exit::Failed,
            };
            assert_eq!(failure.exit(), expected, "{}", code.as_str());
            assert!(failure.sentence.ends_with('.'), "{}", failure.sentence);
        }
        assert_eq!(Failure::from(ClientError::Transport(TransportFault::Connect)).exit(), Exit::Unavailable);
    }

    #[test]
    fn unknown_environment_is_told_as_that_wherever_it_was_named() {
        let mut problem = Problem::new(ErrorCode::NameInvalid, "req_1");
        problem.detail = Some("There is no such environment.".to_owned());
        assert_eq!(of_refusal(&problem).exit(), Exit::NotFound);
        problem.detail = Some("a path has no empty segment".to_owned());
        let failure = of_refusal(&problem);
        assert_eq!((failure.exit(), failure.sentence.as_str()), (Exit::Failed, "A path has no empty segment."));
    }

    #[test]
    fn text_of_others_moves_no_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb\r\nc\u{202e}d é"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d é");
    }

    #[test]
    fn reader_who_has_gone_is_no_failure() {
        assert!(Failure::of_output(&io::Error::from(io::ErrorKind::BrokenPipe)).quiet);
        assert!(!Failure::of_output(&io::Error::from(io::ErrorKind::StorageFull)).quiet);
    }

    #[test]
    fn fault_of_the_system_is_one_sentence() {
        let failure = Failure::of_system("a.toml cannot be read", &io::Error::from_raw_os_error(28));
        assert_eq!(failure.sentence, "a.toml cannot be read: no space left on device.");
    }
}
