//! Storing and minting, at the services and in the reference.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use system_tests::Answer;

use super::reference::{Content, Name, Token};
use super::services::{Agreed, Services, agree, pick, said, user};

impl Services {
    pub(super) async fn store(&mut self, path: &str, label: usize, again: Option<(usize, usize)>) -> Agreed {
        let value = match again {
            Some((key, body)) => format!("keyed {key} {body}"),
            None => format!("value {}", self.reference.contents),
        };
        let body = json!({"user_id": user(label), "key_data": value, "path": path, "environment": "dev"});
        let mut call = self.installation.manager.call("POST", "/api/keys").bearer(&self.installation.admin());
        if let Some((key, _)) = again {
            call = call.header("idempotency-key", &format!("key-{key}"));
        }
        let answer = call.json(&body).send().await;
        if let Some((key, _)) = again {
            let key = format!("key-{key}");
            if let Some(first) = self.reference.catalogue.repeats.get(&key).cloned() {
                return self.repeated(&answer, &key, &first, &value, label);
            }
            self.reference.bodies.insert(key, value.clone());
        }
        let (secret, version) = self.reference.next_version(path);
        agree("status of a store", u64::from(answer.status), 201).map_err(|why| format!("{why}: {answer}"))?;
        let name = (answer.text("key_id"), answer.number("version"));
        match secret {
            Some(secret) => agree("name of a version", name.clone(), (secret, version))?,
            None => agree("first version", (self.names.iter().any(|(known, _)| *known == name.0), name.1), (false, 1))?,
        }
        self.reference.catalogue.paths.insert(path.to_owned(), name.0.clone());
        let content = self.reference.store(name.clone(), &value);
        if let Some((key, _)) = again {
            self.reference.catalogue.repeats.insert(format!("key-{key}"), name.clone());
        }
        self.names.push(name.clone());
        self.token(&answer, &user(label), vec![(name, content)])
    }

    fn repeated(&mut self, answer: &Answer, key: &str, first: &Name, value: &str, label: usize) -> Agreed {
        let known = self.reference.bodies.get(key);
        let expected = match (known, self.reference.committed(first)) {
            (Some(body), _) if body != value => Err("idempotency_mismatch"),
            (_, None) => Err("secret_not_found"),
            (None, Some(_)) => Err("idempotency_unknown"),
            (Some(_), Some(granted)) => Ok(granted),
        };
        match expected {
            Err(code) => agree("repeat", said(answer).as_str(), code),
            Ok(granted) => {
                agree("status of a repeat", u64::from(answer.status), 201)?;
                agree("repeat", (answer.text("key_id"), answer.number("version")), first.clone())?;
                self.token(answer, &user(label), vec![granted])
            }
        }
    }

    pub(super) async fn store_as_stranger(&mut self) -> Agreed {
        let value = format!("value {}", self.reference.contents);
        let call = self.installation.manager.call("POST", "/api/keys");
        let answer = call.json(&json!({"user_id": "stranger", "key_data": value})).send().await;
        if self.strangers.as_ref().is_some_and(|client| self.reference.is_disabled(client)) {
            return agree("stranger", said(&answer).as_str(), "credential_invalid");
        }
        agree("status of a stranger's store", u64::from(answer.status), 201)?;
        let name = (answer.text("key_id"), answer.number("version"));
        let content = self.reference.store(name.clone(), &value);
        self.names.push(name.clone());
        self.token(&answer, "stranger", vec![(name, content)])?;
        self.strangers = self.tokens.last().map(|token| token.client.clone());
        Ok(())
    }

    pub(super) async fn roll_back(&mut self, at: usize, conflict: bool) -> Agreed {
        let Some((secret, version)) = pick(&self.names, at) else { return Ok(()) };
        let newest = self.reference.newest_committed(&secret).map(|(_, number)| number + u64::from(conflict));
        let mut body = json!({"version": version});
        if let Some(newest) = newest {
            body["if_version"] = json!(newest);
        }
        let path = format!("/api/secrets/{secret}:rollback");
        let answer = self.installation.admin_call("POST", &path, Some(body)).await;
        let target = self.reference.committed(&(secret, version));
        // The vault may have lost it with a restore.
        let target = target.filter(|(envelope, content)| self.reference.rows.envelopes.get(envelope) == Some(content));
        let Some((envelope, content)) = target else {
            return agree("rollback", said(&answer).as_str(), "secret_not_found");
        };
        if conflict {
            return agree("rollback", said(&answer).as_str(), "version_conflict");
        }
        agree("status of a rollback", answer.status, 201).map_err(|why| format!("{why}: {answer}"))?;
        let name = self.reference.roll_back(envelope.clone(), content);
        let told = (answer.text("key_id"), answer.number("version"), answer.number("envelope"));
        agree("rollback", told, (name.0.clone(), name.1, envelope.1))?;
        self.names.push(name);
        Ok(())
    }

    pub(super) async fn mint(&mut self, first: usize, second: usize, label: usize) -> Agreed {
        let Some(one) = pick(&self.names, first) else { return Ok(()) };
        let other = pick(&self.names, second).filter(|other| other.0 != one.0);
        let wanted: Vec<Name> = [Some(one), other].into_iter().flatten().collect();
        let granted: Option<Vec<(Name, Content)>> = wanted.iter().map(|name| self.reference.committed(name)).collect();
        let grants: Vec<Value> =
            wanted.iter().map(|(secret, version)| json!({"key_id": secret, "version": version})).collect();
        let body = json!({"secrets": grants, "user_id": user(label)});
        let answer = self.installation.admin_call("POST", "/api/tokens", Some(body)).await;
        match granted {
            None => agree("mint", said(&answer).as_str(), "secret_not_found"),
            Some(granted) => {
                agree("status of a mint", u64::from(answer.status), 201)?;
                self.token(&answer, &user(label), granted)
            }
        }
    }

    pub(super) async fn mint_newest(&mut self, at: usize) -> Agreed {
        let Some((secret, _)) = pick(&self.names, at) else { return Ok(()) };
        let body = json!({"secrets": [{"key_id": secret}], "user_id": user(0)});
        let answer = self.installation.admin_call("POST", "/api/tokens", Some(body)).await;
        let Some(name) = self.reference.newest_committed(&secret) else {
            return agree("mint", said(&answer).as_str(), "secret_not_found");
        };
        agree("status of a mint", u64::from(answer.status), 201)?;
        agree("newest version", answer.json()["secrets"][0]["version"].as_u64(), Some(name.1))?;
        let granted = self.reference.committed(&name).ok_or("the newest version is committed")?;
        agree("its envelope", answer.json()["secrets"][0]["envelope"].as_u64(), Some(granted.0.1))?;
        self.token(&answer, &user(0), vec![granted])
    }

    /// Takes a token over from an answer; its claims fit the reference.
    fn token(&mut self, answer: &Answer, label: &str, grants: Vec<(Name, Content)>) -> Agreed {
        let text = answer.text("access_token");
        let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        let word = |name: &str| claims[name].as_str().unwrap().to_owned();
        let rseq = self.reference.chain.len();
        agree("rseq", claims["rseq"].as_u64(), Some(rseq as u64))?;
        let subjects = &mut self.reference.catalogue.subjects;
        let subject = subjects.entry(label.to_owned()).or_insert_with(|| word("sub")).clone();
        agree("subject", word("sub"), subject.clone())?;
        let (jti, client) = (word("jti"), word("client_id"));
        self.tokens.push(Token { text, jti, subject, client, rseq, grants, seals: self.reference.seals });
        Ok(())
    }
}
