//! Logins.

use std::path::PathBuf;

use clap::Args;
use client::manager_api::name::{AccountName, EnvironmentName};
use client::manager_api::people::RedeemEnrolment;
use client::manager_api::sessions::{CreateSession, Me};
use client::manager_api::wire::RevocationStatus;
use client::shared_proto::error::ErrorCode;
use client::shared_proto::id::Subject;
use client::{Address, Client, ClientError, Credential};
use zeroize::Zeroizing;

use crate::access::{credential_of, is_same_address, variable};
use crate::commands::Ending;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::remark;
use crate::profile::{Login as Kept, Profile, ProfileName};
use crate::{prompt, times};

/// Log in, and keep the login in a profile.
///
/// A service shows its credential, which is read from standard input or from a file. A person (--person) is asked for password
/// and code; where nobody can be asked, they are the first two lines of standard input.
#[derive(Args)]
pub(crate) struct Login {
    /// The manager's address (https://host:port); by default SPLITVAULT_URL, or that of the profile.
    url: Option<String>,
    /// The vault's address, if not the one that the manager tells; by default SPLITVAULT_VAULT_URL, or that of the profile.
    #[arg(long, value_name = "URL")]
    vault_url: Option<String>,
    /// The file with the CAs to believe, in place of those of the machine; by default SPLITVAULT_CA.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The file with the credential.
    #[arg(long, value_name = "FILE", conflicts_with = "person")]
    credential_file: Option<PathBuf>,
    /// The name of a person's account.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| AccountName::parse(text))]
    person: Option<AccountName>,
    /// Redeem a one-time enrolment code: the first line in place of the credential or password. The second line is the new
    /// password of a person.
    #[arg(long, conflicts_with_all = ["credential_file", "recovery_code"])]
    enrol: bool,
    /// Log in with a recovery code in place of the authenticator's.
    #[arg(long, requires = "person")]
    recovery_code: bool,
    /// Send the login over plain HTTP to another machine, where everybody on the way reads it.
    #[arg(long)]
    danger_plain_http: bool,
}

impl Login {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let name = context.profile();
        let former = Profile::read(&name)?;
        let mut profile = self.profile(former, context.named_environment())?;
        let client = profile.addresses().client(None)?;
        if self.enrol {
            // Shown once: there is a place for it before it is asked for.
            profile.write(&name)?;
        }
        let login = match &self.person {
            Some(person) => self.of_person(&client, person, &mut profile).await?,
            None => self.of_service(&client, &profile.url).await?,
        };
        let ends = login.expires_at.map(|at| format!(" The login ends {}.", times::relative(at, times::now())));
        let said = format!("Logged in to {} as {}.{}", profile.url, login.name, ends.unwrap_or_default());
        let document = serde_json::json!({
            "profile": name.as_str(), "url": profile.url, "vault_url": profile.vault_url,
            "principal": login.principal, "name": login.name, "expires_at": login.expires_at,
        });
        profile.login = Some(login);
        profile.write(&name)?;
        context.output.told(&said, &document)?;
        Ok(Ending::Done)
    }

    /// The profile of before, with what is said now. Another manager gets nothing of it.
    fn profile(&self, former: Option<Profile>, environment: Option<&EnvironmentName>) -> Result<Profile, Failure> {
        let url = self.url.clone().or_else(|| variable("SPLITVAULT_URL"));
        let url = url.or_else(|| former.as_ref().map(|former| former.url.clone()));
        let url = url.ok_or_else(|| {
            Failure::wrong_use("The manager's address is not known.")
                .next("Name it: splitvault login https://manager.example:8000")
        })?;
        let url = Address::parse(&url)?.to_string();
        let mut profile = former.filter(|former| is_same_address(&former.url, &url)).unwrap_or(Profile {
            url,
            vault_url: None,
            ca: None,
            environment: None,
            danger_plain_http: false,
            device_code: None,
            login: None,
        });
        let vault_url = self.vault_url.clone().or_else(|| variable("SPLITVAULT_VAULT_URL"));
        let vault_url = vault_url.map(|url| Address::parse(&url).map(|url| url.to_string())).transpose()?;
        profile.vault_url = vault_url.or(profile.vault_url);
        let ca = self.ca.clone().or_else(|| variable("SPLITVAULT_CA").map(PathBuf::from));
        if let Some(ca) = ca {
            let whole = std::path::absolute(&ca);
            profile.ca = Some(whole.map_err(|error| Failure::of_system("The CA file cannot be named", &error))?);
        }
        profile.environment = environment.cloned().or(profile.environment);
        profile.danger_plain_http |= self.danger_plain_http;
        Ok(profile)
    }

    async fn of_service(&self, client: &Client, url: &str) -> Result<Kept, Failure> {
        if self.enrol {
            let code = told(&[&format!("Enrolment code for {url}")])?.pop().ok_or_else(no_input)?;
            let redeemed = client.redeem(&RedeemEnrolment { code, password: None }).await?;
            let (principal, name, expires_at) = (redeemed.subject, redeemed.name, redeemed.expires_at);
            let credential = redeemed.credential.ok_or_else(|| {
                Failure::failed("This was the code of a person.").next("Log in with --person and the password.")
            })?;
            return Ok(Kept { principal, name, session: None, expires_at, credential });
        }
        let text = match &self.credential_file {
            Some(file) => credential_of(file)?,
            None => told(&[&format!("Credential for {url}")])?.pop().ok_or_else(no_input)?,
        };
        let me = client.with_credential(Credential::parse(&text)?).me().await?;
        let credential = Zeroizing::new(text.trim().to_owned());
        Ok(Kept { principal: me.principal, name: me.name, session: None, expires_at: me.expires_at, credential })
    }

    async fn of_person(&self, client: &Client, name: &AccountName, profile: &mut Profile) -> Result<Kept, Failure> {
        let mut login = CreateSession {
            name: name.clone(),
            password: Zeroizing::default(),
            totp: None,
            recovery_code: None,
            device_code: None,
        };
        if self.enrol {
            let mut lines = told(&[&format!("Enrolment code for {}", profile.url), "New password"])?.into_iter();
            let code = lines.next().ok_or_else(no_input)?;
            login.password = lines.next().ok_or_else(|| {
                Failure::failed("The new password is missing.").next("It is the second line of standard input.")
            })?;
            client.redeem(&RedeemEnrolment { code, password: Some(login.password.clone()) }).await?;
        } else {
            let question =
                if self.recovery_code { "Recovery code" } else { "Code of the authenticator (empty without one)" };
            let mut lines = told(&[&format!("Password for {}", profile.url), question])?.into_iter();
            login.password = lines.next().ok_or_else(no_input)?;
            let code = lines.next().filter(|code| !code.is_empty());
            (login.totp, login.recovery_code) = if self.recovery_code { (None, code) } else { (code, None) };
            login.device_code = profile.device_code.clone();
        }
        let session = client.login(&login).await?;
        if session.must_enrol_totp {
            remark("Nothing is allowed before an authenticator is set up; docs/people.md says how.");
        }
        profile.device_code = Some(session.device_code);
        Ok(Kept {
            principal: Subject::Person(session.person_id),
            name: name.clone(),
            session: Some(session.session_id),
            expires_at: Some(session.expires_at),
            credential: session.session_code,
        })
    }
}

/// Answers to questions that are not shown: of a person, or from lines of standard input, of which there may be fewer.
fn told(questions: &[&str]) -> Result<Vec<Zeroizing<String>>, Failure> {
    let answers = if prompt::is_person() {
        questions.iter().map(|question| prompt::hidden(question)).collect::<Result<Vec<_>, _>>()?
    } else {
        prompt::lines()?
    };
    Ok(answers.into_iter().take(questions.len()).map(|answer| Zeroizing::new(answer.trim_end().to_owned())).collect())
}

fn no_input() -> Failure {
    Failure::failed("Standard input is empty.").next("Pipe in what splitvault help login says, a line each.")
}

/// Log out. A person's session ends; a service's credential is removed from here, and counts on.
#[derive(Args)]
pub(crate) struct Logout {}

impl Logout {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let name = context.profile();
        let Some(mut profile) = Profile::read(&name)? else { return Err(nobody(&name)) };
        let Some(login) = profile.login.take() else { return Err(nobody(&name)) };
        // First here: whatever follows, this file lets nobody in any more.
        profile.write(&name)?;
        let mut said = format!("Logged out of {}.", profile.url);
        if let Some(session) = login.session {
            let client = profile.addresses().client(Some(Credential::session(&login.credential)?))?;
            match client.end_session(session).await {
                Ok(answer) if answer.status == RevocationStatus::Pending => {
                    said.push_str(" Tokens of the session may count for some seconds.");
                }
                Ok(_) => {}
                Err(ClientError::Refused(problem)) if is_ended(problem.code) => {}
                Err(error) => {
                    let failure = Failure::from(error);
                    return Err(Failure::new(
                        failure.exit(),
                        "The login was removed here, but the session could not be ended.",
                    )
                    .next("It ends 30 minutes after its last use."));
                }
            }
        } else {
            said.push_str(" The credential counts on until it is disabled.");
        }
        let document = serde_json::json!({ "profile": name.as_str(), "url": profile.url });
        context.output.told(&said, &document)?;
        Ok(Ending::Done)
    }
}

fn is_ended(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::CredentialInvalid | ErrorCode::CredentialNotFound)
}

fn nobody(name: &ProfileName) -> Failure {
    Failure::new(Exit::Failed, format!("Nobody is logged in with the profile {}.", name.as_str()))
        .next("See the profiles: splitvault profile list")
}

/// Show who you are.
#[derive(Args)]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let me = context.access()?.client.me().await?;
        if context.output.is_json() {
            context.output.json(&me)?;
        } else {
            context.output.facts(&facts(&me))?;
        }
        Ok(Ending::Done)
    }
}

fn facts(me: &Me) -> Vec<(&'static str, String)> {
    let now = times::now();
    let mut facts = vec![("name", me.name.to_string()), ("id", me.principal.to_string())];
    facts.extend(me.display_name.as_ref().map(|name| ("called", name.to_string())));
    facts.extend(me.email.as_ref().map(|email| ("email", email.to_string())));
    facts.extend(me.groups.iter().map(|group| ("group", group.name.to_string())));
    for role in &me.roles {
        let environment = role.environment_id.map_or("all environments".to_owned(), |id| format!("environment {id}"));
        facts.push(("role", format!("{} of {} in {environment}", role.role.as_str(), role.pattern.as_str())));
    }
    if let Some(login) = &me.login {
        let factors = if login.mfa { "two factors" } else { "one factor" };
        facts.push(("login", format!("{}, with {factors}", times::relative(login.authenticated_at, now))));
    }
    facts.extend(me.expires_at.map(|at| ("ends", times::full(at, now))));
    facts
}
