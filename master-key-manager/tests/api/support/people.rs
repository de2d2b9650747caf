//! People of the tests.

use actix_web::http::Method;
use aws_lc_rs::hmac;
use manager_api::id::EnrolmentId;
use manager_api::name::{AccountName, DisplayName};
use manager_api::policy::Role;
use manager_registry::{Credential, Enrolment, Login, Person as Account, Proof};
use manager_sign_on::code::{EnrolmentCode, SessionCode};
use master_key_manager::people::{NewPerson, SESSION_SECONDS};
use serde_json::{Value, json};
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::encoding::{Bytes, random};
use shared_proto::id::{CredentialId, PersonId, Subject};
use zeroize::Zeroizing;

use super::{Answer, Installed, Manager, now};

pub(crate) const PASSWORD: &str = "lamps under seventeen rivers";

/// A person with a session.
pub(crate) struct Person {
    pub(crate) session: String,
    pub(crate) session_id: String,
    /// The seed of the authenticator in base32; empty without one.
    pub(crate) seed: String,
    pub(crate) recovery: Vec<String>,
    pub(crate) device: String,
}

/// Makes a person while the manager is stopped.
pub(crate) async fn add_person(installed: &Installed, name: &str, role: Option<Role>) -> (PersonId, String) {
    let name = AccountName::parse(name).unwrap();
    let new = NewPerson { name, display_name: None, email: None, role };
    let (id, code) = master_key_manager::people::add_person(&installed.config, new).await.unwrap();
    (id, code.to_string())
}

/// A record of a person.
pub(crate) fn account(name: &str) -> Account {
    Account {
        person_id: PersonId::generate(),
        name: AccountName::parse(name).unwrap(),
        display_name: DisplayName::parse(name).unwrap(),
        email: None,
        created_at: now(),
        disabled_at: None,
    }
}

impl Manager {
    /// The text and the record of a session with two factors, without a password, which takes long.
    pub(crate) fn session_of(&self, person: PersonId) -> (String, Credential) {
        let code = SessionCode::new(Zeroizing::new(random()));
        let hmac = Bytes(self.app.keys.now().sign_on.codes.session(&code));
        let proof = Proof::Session { hmac, login: Login { authenticated_at: now(), mfa: true } };
        let new = Credential::new(CredentialId::generate(), Subject::Person(person), proof, now());
        (code.expose_text().to_string(), Credential { expires_at: Some(now() + SESSION_SECONDS), ..new })
    }

    /// The text and the record of an operator's code for a person.
    pub(crate) fn code_for(&self, person: &Account) -> (String, Enrolment) {
        let code = EnrolmentCode::new(Zeroizing::new(random()));
        let record = Enrolment {
            enrolment_id: EnrolmentId::generate(),
            hmac: Bytes(self.app.keys.now().sign_on.codes.enrolment(&code)),
            subject: person.subject(),
            credential: None,
            address: None,
            author: None,
            author_credential: None,
            created_at: now(),
            expires_at: now() + 3_600,
        };
        (code.expose_text().to_string(), record)
    }

    pub(crate) async fn redeem(&self, code: &str, password: Option<&str>) -> Answer {
        let mut body = json!({"code": code});
        if let Some(password) = password {
            body["password"] = json!(password);
        }
        self.send(Method::POST, "/api/enrolments:redeem", &[], Some(body.to_string())).await
    }

    pub(crate) async fn login(&self, name: &str, password: &str, totp: Option<&str>) -> Answer {
        let mut body = json!({"name": name, "password": password});
        if let Some(totp) = totp {
            body["totp"] = json!(totp);
        }
        self.login_with(body).await
    }

    pub(crate) async fn login_with(&self, body: Value) -> Answer {
        self.send(Method::POST, "/api/sessions", &[], Some(body.to_string())).await
    }

    /// Redeems a code and logs in, with a password alone.
    pub(crate) async fn sign_on(&self, name: &str, code: &str) -> Person {
        self.redeem(code, Some(PASSWORD)).await.expect(200);
        Person::of(&self.login(name, PASSWORD, None).await.expect(201))
    }

    /// The same with an authenticator, whose code of the present step is used up. Sessions have two factors.
    pub(crate) async fn sign_on_twice(&self, name: &str, code: &str) -> Person {
        let mut person = self.sign_on(name, code).await;
        let offered = person.post(self, "/api/me/totp", None).await.expect(200);
        person.seed = offered.member("secret");
        let shown = json!({"code": totp_now(&person.seed, 0)});
        let confirmed = person.post(self, "/api/me/totp:confirm", Some(shown)).await.expect(200).json();
        let codes = confirmed["recovery_codes"].as_array().unwrap();
        person.recovery = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
        person
    }
}

impl Person {
    /// The person of a login.
    pub(crate) fn of(login: &Answer) -> Self {
        Self {
            session: login.member("session_code"),
            session_id: login.member("session_id"),
            seed: String::new(),
            recovery: Vec::new(),
            device: login.member("device_code"),
        }
    }

    pub(crate) async fn get(&self, manager: &Manager, path: &str) -> Answer {
        manager.with_bearer(&self.session, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, manager: &Manager, path: &str, body: Option<Value>) -> Answer {
        manager.with_bearer(&self.session, Method::POST, path, body).await
    }

    pub(crate) async fn delete(&self, manager: &Manager, path: &str) -> Answer {
        manager.with_bearer(&self.session, Method::DELETE, path, None).await
    }
}

/// The code that an authenticator shows, so many steps from now.
pub(crate) fn totp_now(seed: &str, steps: i64) -> String {
    totp(seed, (SystemClock.now() / 30).checked_add_signed(steps).unwrap())
}

/// The code that an authenticator shows in a step (RFC 6238).
pub(crate) fn totp(seed: &str, step: u64) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(seed)), &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 0x0f);
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn base32(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for character in text.chars() {
        held = held << 5 | u32::try_from(alphabet.find(character).unwrap()).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap());
        }
    }
    bytes
}
