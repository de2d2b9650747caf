//! Revoking, destroying and refusing, at the services and in the reference.

use serde_json::{Value, json};
use system_tests::{Answer, wait_until};

use super::reference::{Event, Refusals};
use super::services::{Agreed, Services, agree, pick, said};
use super::steps::Refused;

impl Services {
    pub(super) async fn revoke_token(&mut self, at: usize) -> Agreed {
        let Some(token) = pick(&self.tokens, at) else { return Ok(()) };
        // Also one that a restored manager does not know.
        self.revoke(json!({"kind": "token", "jti": token.jti}), Event::Token(token.jti)).await
    }

    pub(super) async fn revoke_if(&mut self, known: bool, code: &str, what: Value, event: Event) -> Agreed {
        if known {
            return self.revoke(what, event).await;
        }
        let answer = self.installation.admin_call("POST", "/api/revocations", Some(what)).await;
        agree("revocation", said(&answer).as_str(), code)
    }

    pub(super) async fn revoke(&mut self, what: Value, event: Event) -> Agreed {
        let answer = self.installation.admin_call("POST", "/api/revocations", Some(what)).await;
        let number = self.reference.number(event);
        let said = answer.json()["sequence"].as_u64();
        self.recorded("revoked", &answer, said, number).await
    }

    pub(super) async fn destroy(&mut self, at: usize) -> Agreed {
        let Some(name) = pick(&self.names, at) else { return Ok(()) };
        let path = format!("/api/keys/{}/destroy", name.0);
        let answer = self.installation.admin_call("POST", &path, Some(json!({"versions": [name.1]}))).await;
        if self.reference.catalogue.versions.get(&name).is_none_or(|version| version.content.is_none()) {
            return agree("destruction", said(&answer).as_str(), "secret_not_found");
        }
        let Some(envelope) = self.reference.destroy(&name) else {
            agree("status of a destruction", said(&answer).as_str(), "200")?;
            let told = (answer.text("status"), answer.json()["kept"].clone());
            return agree("kept", told, ("kept".to_owned(), json!([name.1])));
        };
        let number = self.reference.number(Event::Destroy(envelope));
        let said = answer.json()["sequences"][0].as_u64();
        self.recorded("destroyed", &answer, said, number).await
    }

    /// "Revoked" is told with the number; "pending" becomes true.
    async fn recorded(&self, done: &str, answer: &Answer, said: Option<u64>, number: usize) -> Agreed {
        match answer.status {
            200 => agree("number of an event", (answer.text("status").as_str(), said), (done, Some(number as u64))),
            202 => self.settled().await,
            _ => Err(format!("a revocation was answered {answer}")),
        }
    }

    /// Both are ready, and the vault has signed for every event.
    pub(super) async fn settled(&self) -> Agreed {
        // A vault that refuses everything says that it is not ready.
        if !self.reference.refusals.everything {
            self.installation.ready().await;
        }
        let length = self.reference.chain.len() as u64;
        wait_until(&format!("{length} events are applied"), async || {
            let list = self.installation.admin_call("GET", "/api/revocations", None).await.expect(200);
            let (newest, applied) = (list.number("newest"), list.number("applied"));
            assert!(newest <= length, "{newest} events, and {length} were made");
            (newest, applied, list.number("unnumbered")) == (length, length, 0)
        })
        .await;
        Ok(())
    }

    pub(super) fn refuse(&mut self, what: Refused, at: usize, lift: bool) {
        let Some(token) = pick(&self.tokens, at) else { return };
        let words = match what {
            Refused::Token => vec!["token", &token.jti],
            Refused::Subject => vec!["subject", &token.subject],
            Refused::Everything => vec!["everything"],
        };
        let first: &[&str] = if lift { &["refuse", "lift"] } else { &["refuse"] };
        self.installation.vault.run_well(&[first, &words].concat());
        let refusals = &mut self.reference.refusals;
        match what {
            Refused::Token if lift => drop(refusals.tokens.remove(&token.jti)),
            Refused::Token => drop(refusals.tokens.insert(token.jti)),
            Refused::Subject if lift => drop(refusals.subjects.remove(&token.subject)),
            Refused::Subject => drop(refusals.subjects.insert(token.subject)),
            Refused::Everything => refusals.everything = !lift,
        }
    }

    pub(super) fn lift_all(&mut self) {
        let list = self.installation.vault.run_well(&["refuse", "list"]);
        for line in list.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = ["refuse", "lift"].into_iter().chain(line.split(' ')).collect();
            self.installation.vault.run_well(&words);
        }
        self.reference.refusals = Refusals::default();
    }
}
