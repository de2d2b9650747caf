//! The canary: values, tokens, credentials and keys through every route and command, with failures, at trace level;
//! then nothing of them lies in a log, database, write-ahead log, audit line, refusal, configuration or process list,
//! in any form. Names may lie at the manager only.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use system_tests::proxy::Verdict;
use system_tests::{Answer, Call, Engine, Installation, Service, Stored, wait_until};

use super::traces::{self, Needle};
use super::treasure::random_word;

#[tokio::test]
async fn no_value_token_credential_or_key_lies_anywhere_after_every_route_and_command() {
    let mut canary = Canary::start().await;
    canary.use_the_manager().await;
    canary.use_people().await;
    canary.use_the_vault().await;
    canary.break_things().await;
    canary.use_the_commands().await;

    let (secrets, names) = canary.needles();
    assert_eq!(canary.search(&secrets, &names), Vec::<String>::new());
    assert!(canary.heard.len() > 80, "{}", canary.heard.len());
    for service in [&canary.installation.manager, &canary.installation.vault] {
        assert!(fs::read_to_string(service.config()).unwrap().contains("log = \"trace\""));
        assert!(service.log().lines().count() > 50);
    }

    // Control: the same search finds what is planted in each of the places.
    let vault = canary.installation.vault.data().join("planted");
    for (place, text) in [
        (vault.clone(), canary.value.clone()),
        (vault.clone(), format!("{:?}", canary.value.as_bytes())),
        (vault.clone(), canary.name.clone()),
        (vault, URL_SAFE_NO_PAD.encode(canary.installation.admin())),
        (canary.installation.manager.data().join("planted"), STANDARD.encode(format!("x{}", canary.tokens[0]))),
    ] {
        fs::write(&place, text).unwrap();
        assert!(!canary.search(&secrets, &names).is_empty(), "{}", place.display());
        fs::remove_file(place).unwrap();
    }
    canary.heard.push(("planted".to_owned(), canary.value.clone().into_bytes()));
    assert!(!canary.search(&secrets, &names).is_empty());
}

struct Canary {
    installation: Installation,
    value: String,
    bytes: Vec<u8>,
    name: String,
    tokens: Vec<String>,
    credentials: Vec<String>,
    /// The means by which people sign on: passwords, codes, a seed.
    people: Vec<(&'static str, String)>,
    seal_keys: Vec<(String, Vec<u8>)>,
    /// Refusals, and what commands printed.
    heard: Vec<(String, Vec<u8>)>,
    stored: Option<Stored>,
}

impl Canary {
    async fn start() -> Self {
        let builder = Installation::builder().production().recorded().apart();
        let builder = builder.vault_setting("log = \"trace\"").manager_setting("log = \"trace\"");
        let installation = builder.running().await;
        let seal_keys = fs::read_dir(installation.runtime_dir()).unwrap().filter_map(|entry| {
            let document: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            document["private_key"].as_str().map(|key| ("a seal key".to_owned(), decoded(key)))
        });
        Self {
            value: format!("canary{}", random_word()),
            bytes: [&[0xff, 0x00], random_word().as_bytes(), &[0xfe]].concat(),
            name: format!("canary{}", random_word()),
            tokens: Vec::new(),
            credentials: vec![installation.admin()],
            people: Vec::new(),
            seal_keys: seal_keys.collect(),
            heard: Vec::new(),
            stored: None,
            installation,
        }
    }

    /// Sends a request. What a refusal says is kept; a success may hold what was asked for.
    async fn send(&mut self, call: Call) -> Answer {
        let answer = call.send().await;
        if answer.status >= 300 {
            self.heard.push((format!("a refusal with {}", answer.status), format!("{answer:?}").into_bytes()));
            self.heard.push((format!("the body of a refusal with {}", answer.status), answer.body.clone()));
        } else if answer.header("content-type").is_some_and(|media| media.starts_with("application/json")) {
            let document: Value = serde_json::from_slice(&answer.body).unwrap();
            self.tokens.extend(document["access_token"].as_str().map(str::to_owned));
        }
        answer
    }

    async fn manager(&mut self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let call = self.installation.manager.call(method, path).bearer(&self.installation.admin());
        let call = body.iter().fold(call, Call::json);
        self.send(call).await
    }

    async fn vault(&mut self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let call = self.installation.vault.call(method, path).bearer(token);
        let call = body.iter().fold(call, Call::json);
        self.send(call).await
    }

    fn submission(&self) -> Value {
        json!({"user_id": "user123", "environment": "dev", "path": format!("names/{}", self.name), "key_data": self.value})
    }

    async fn use_the_manager(&mut self) {
        let good = self.submission();
        let stored = Stored::of(&self.manager("POST", "/api/keys", Some(good.clone())).await);
        let with = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            body
        };
        let (value, name) = (json!(self.value), json!(self.name));
        self.manager("POST", "/api/keys", Some(with("token", json!(false)))).await.expect(201);
        let mut bytes = with("encoding", json!("base64"));
        bytes["key_data"] = STANDARD.encode(&self.bytes).into();
        self.manager("POST", "/api/keys", Some(bytes)).await.expect(201);
        // Bodies that are refused for many reasons, with the value in many places.
        let refused = [
            with("encoding", json!("base64")),
            with("encoding", value.clone()),
            with("user_id", json!(format!("{}\n", self.value))),
            with("user_id", json!([self.value])),
            with("environment", value.clone()),
            with("path", json!(format!("{}//", self.name))),
            with("path", json!("unnamed/x")),
            with("token", value.clone()),
            with(&self.value, json!(1)),
            with("key_data", json!({"deep": [[[self.value]]]})),
            with("key_data", json!(self.value.repeat(30_000))),
            json!([self.value]),
            value.clone(),
        ];
        for body in refused {
            let answer = self.manager("POST", "/api/keys", Some(body)).await;
            assert!((400..500).contains(&answer.status), "{answer}");
        }
        let text = good.to_string();
        let half = &text[..text.find(&self.value).unwrap() + self.value.len() / 2];
        for broken in [half.to_owned(), format!("{text}{text}"), text.replacen('{', "{\"key_data\":\"x\",", 1)] {
            for media in ["application/json", "text/plain"] {
                let call = self.installation.manager.call("POST", "/api/keys").bearer(&self.installation.admin());
                let answer = self.send(call.header("content-type", media).body(broken.clone())).await;
                assert!((400..500).contains(&answer.status), "{answer}");
            }
        }
        for status in [201, 201, 422] {
            let body = if status == 422 { with("key_data", json!("another")) } else { good.clone() };
            let call = self.installation.manager.call("POST", "/api/keys").bearer(&self.installation.admin());
            self.send(call.header("idempotency-key", "once").json(&body)).await.expect(status);
        }
        // Credentials that are none.
        for bearer in [self.value.clone(), stored.token.clone(), format!("{}x", self.installation.admin())] {
            for (method, path) in [("POST", "/api/keys"), ("GET", "/api/secrets"), ("GET", "/api/tokens")] {
                let call = self.installation.manager.call(method, path).bearer(&bearer);
                self.send(call.json(&good)).await.expect(401);
            }
        }
        // Everything else.
        let (key_id, second) = (stored.key_id.clone(), json!([2]));
        for life in [json!(60), value.clone(), json!(0)] {
            let body = json!({"secrets": [{"key_id": key_id}], "user_id": "user123", "life_seconds": life});
            self.manager("POST", "/api/tokens", Some(body)).await;
        }
        self.manager("POST", "/api/tokens", Some(json!({"secrets": [{"key_id": value}]}))).await.expect(400);
        let spare = self.manager("POST", "/api/tokens", Some(json!({"secrets": [{"key_id": key_id}]}))).await;
        let jti = spare.expect(201).text("jti");
        self.manager("DELETE", &format!("/api/tokens/{jti}"), None).await;
        self.manager("DELETE", &format!("/api/tokens/{}", self.value), None).await.expect(404);
        self.manager("POST", &format!("/api/keys/{key_id}/destroy"), Some(json!({"versions": second}))).await;
        self.manager("POST", &format!("/api/keys/{}/destroy", self.value), Some(json!({"versions": value}))).await;
        for kind in [
            json!({"kind": "version", "key_id": key_id, "version": 2}),
            json!({"kind": value}),
            json!({"kind": "token", "jti": name}),
        ] {
            self.manager("POST", "/api/revocations", Some(kind)).await;
        }
        let queries = ["", "?limit=1", "?limit=0"].map(str::to_owned);
        for list in ["/api/secrets", "/api/tokens", "/api/revocations"] {
            for query in queries.iter().cloned().chain([format!("?after={}", self.value)]) {
                self.manager("GET", &format!("{list}{query}"), None).await;
            }
        }
        self.manager("POST", "/api/reconcile", Some(json!({"adopt": false}))).await.expect(200);
        self.manager("POST", "/api/reconcile", Some(json!({"adopt": value}))).await.expect(400);
        for path in ["/.well-known/jwks.json", "/openapi.json", "/health/live", "/health/ready", "/none"] {
            self.manager("GET", path, None).await;
        }
        self.stored = Some(stored);
    }

    /// A person's password, codes and seed, where they belong and where they do not.
    async fn use_people(&mut self) {
        let person =
            self.manager("POST", "/api/people", Some(json!({"name": "ann"}))).await.expect(201).text("person_id");
        let code = self.manager("POST", "/api/enrolments", Some(json!({"person_id": person}))).await;
        let code = code.expect(201).text("enrolment_code");
        let (password, wrong) = (format!("canary of {}", random_word()), format!("canary not {}", random_word()));
        let visit = |path: &str, body: Value| self.installation.manager.call("POST", path).json(&body);
        let redeem = json!({"code": code, "password": password});
        let login = |name: &str, password: &str| json!({"name": name, "password": password});
        let calls = [
            (visit("/api/enrolments:redeem", redeem.clone()), 200),
            (visit("/api/enrolments:redeem", redeem.clone()), 401),
            (visit("/api/enrolments:redeem", json!({"code": password, "password": code})), 400),
            (visit("/api/enrolments:redeem", json!({"code": [code], "password": password})), 400),
            (visit("/api/sessions", login("ann", &wrong)), 401),
            (visit("/api/sessions", login(&password, &password)), 400),
            (visit("/api/sessions", json!({"name": "ann", "password": [password]})), 400),
            (visit("/api/sessions", login("ann", &password)), 201),
        ];
        let mut last = None;
        for (call, status) in calls {
            last = Some(self.send(call).await.expect(status));
        }
        let session = last.unwrap();
        let (session_code, device_code) = (session.text("session_code"), session.text("device_code"));
        let own = |path: &str, body: Option<Value>| {
            let call = self.installation.manager.call("POST", path).bearer(&session_code);
            body.iter().fold(call, Call::json)
        };
        let change = json!({"old_password": wrong, "new_password": password});
        let weak = json!({"old_password": password, "new_password": "password1234567"});
        let calls = [
            (own("/api/me/password", Some(change)), 401),
            (own("/api/me/password", Some(weak)), 400),
            (own("/api/me/totp:confirm", Some(json!({"code": password}))), 400),
            (own("/api/people", Some(json!({"name": password}))), 400),
            (own("/api/me/totp", None), 200),
        ];
        let mut last = None;
        for (call, status) in calls {
            last = Some(self.send(call).await.expect(status));
        }
        let seed = last.unwrap().text("secret");
        let known = [("a password", password), ("a wrong password", wrong), ("an enrolment code", code)];
        self.people.extend(known);
        self.people.extend([("a session code", session_code), ("a device code", device_code), ("a seed", seed)]);
    }

    async fn use_the_vault(&mut self) {
        let Stored { key_id, token, .. } = self.stored.clone().unwrap();
        let path = format!("/api/keys/{key_id}");
        self.vault("GET", &path, &token, None).await.expect(200);
        let both = json!({"key_ids": [key_id, "sec_AAAAAAAAAAAAAAAAAAAAAA"]});
        self.vault("POST", "/api/keys:read", &token, Some(both)).await.expect(200);
        let wrong =
            [format!("{token}A"), token[..token.len() - 9].to_owned(), self.value.clone(), self.installation.admin()];
        for wrong in wrong {
            self.vault("GET", &path, &wrong, None).await.expect(401);
            for route in ["/api/keys:read", "/api/commands", "/api/events"] {
                self.vault("POST", route, &wrong, Some(json!({"key_ids": [self.value]}))).await.expect(401);
            }
        }
        for body in
            [json!({"key_ids": [self.value]}), json!({self.value.clone(): 1}), json!(token), json!({"key_ids": []})]
        {
            self.vault("POST", "/api/keys:read", &token, Some(body)).await.expect(400);
        }
        // In addresses, where they do not belong.
        for path in [format!("/api/keys/{}", self.value), format!("{path}?access_token={token}"), format!("/{token}")] {
            self.vault("GET", &path, &token, None).await;
            let call = self.installation.vault.call("GET", &path).header("user-agent", "a reader");
            self.send(call).await;
        }
        for path in ["/api/key-statements", "/openapi.json", "/health/live", "/health/ready", "/none"] {
            self.vault("GET", path, &token, None).await;
        }
        // Genuine commands with other bodies.
        let poll = self.installation.proxy().exchanges().into_iter().rfind(|one| one.op() == "poll").unwrap();
        let command = poll.headers.iter().find(|(name, _)| name == "authorization").unwrap().1.clone();
        let command = command.strip_prefix("Bearer ").unwrap().to_owned();
        self.vault("POST", "/api/commands", &command, Some(json!({"nonce": self.value}))).await.expect(401);
    }

    async fn break_things(&mut self) {
        let good = self.submission();
        // A store whose answer is lost, and its settlement.
        let mut lost = false;
        self.installation.proxy().rule(move |exchange| {
            let first = !lost && exchange.op() == "store";
            lost |= first;
            if first { Verdict::DropAnswer } else { Verdict::Pass }
        });
        self.manager("POST", "/api/keys", Some(good.clone())).await.expect(503);
        // Answers that are no answers.
        let value = self.value.clone();
        self.installation.proxy().rule(move |_| Verdict::Answer(200, json!({"feed": value})));
        let installation = &self.installation;
        wait_until("the manager has noticed", async || installation.manager.log().contains("not in step")).await;
        self.manager("POST", "/api/keys", Some(good.clone())).await.expect(503);
        self.installation.proxy().pass();
        self.installation.ready().await;
        let stored = Stored::of(&self.manager("POST", "/api/keys", Some(good.clone())).await);

        // A vault that is down, and one that comes back on an altered database.
        self.installation.vault.kill();
        self.manager("POST", "/api/keys", Some(good)).await.expect(503);
        assert!(self.installation.vault.alter("UPDATE envelopes SET nonce = substr(digest, 1, 12)") > 0);
        self.installation.vault.start().await;
        self.installation.ready().await;
        self.vault("GET", &format!("/api/keys/{}", stored.key_id), &stored.token, None).await.expect(401);
    }

    async fn use_the_commands(&mut self) {
        let folder = self.installation.folder().to_owned();
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let jti = self.stored.clone().unwrap().jti;
        let commands: Vec<Vec<String>> = [
            vec!["check-config"],
            vec!["openapi"],
            vec!["backup", &file("vault.backup")],
            vec!["backup", &file("vault.backup")],
            vec!["refuse", "token", &jti],
            vec!["refuse", "list"],
            vec!["refuse", "lift", "token", &jti],
            vec!["refuse", "everything"],
            vec!["refuse", "lift", "everything"],
            vec!["run"],
            vec!["init"],
            vec!["restore", &file("vault.backup")],
        ]
        .map(|words| words.into_iter().map(str::to_owned).collect())
        .into();
        for command in &commands {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let output = self.installation.vault.run(&words);
            self.heard.push((format!("vault {words:?}"), [output.stdout, output.stderr].concat()));
        }
        let manager = [["backup", &file("manager.backup")], ["backup", &file("manager.backup")]];
        for words in manager.iter().map(|words| words.to_vec()).chain([
            vec!["check-config"],
            vec!["openapi"],
            vec!["run"],
            vec!["init"],
        ]) {
            let output = self.installation.manager.run(&words);
            self.heard.push((format!("manager {words:?}"), [output.stdout, output.stderr].concat()));
        }
        if Engine::of_tests() == Engine::Postgres {
            self.installation.vault.back_up(Path::new(&file("vault.backup")));
            self.installation.manager.back_up(Path::new(&file("manager.backup")));
        }
        // A configuration into which a secret was pasted.
        let config = fs::read_to_string(self.installation.manager.config()).unwrap();
        for line in [
            format!("{} = 1", self.installation.admin()),
            format!("log = {}", self.value),
            format!("workers = \"{}\"", self.value),
        ] {
            fs::write(self.installation.manager.config(), format!("{line}\n{config}")).unwrap();
            let output = self.installation.manager.run(&["check-config"]);
            assert!(!output.status.success());
            self.heard.push(("manager check-config".to_owned(), [output.stdout, output.stderr].concat()));
        }
        fs::write(self.installation.manager.config(), config).unwrap();
        // Both stop, are restored and start again; the administrator gets a new credential.
        self.installation.manager.stop().await;
        self.installation.vault.stop().await;
        for (service, backup) in
            [(&self.installation.vault, "vault.backup"), (&self.installation.manager, "manager.backup")]
        {
            for file in [service.config().to_str().unwrap().to_owned(), file(backup)] {
                let output = service.run(&["restore", &file]);
                self.heard.push(("restore".to_owned(), [output.stdout, output.stderr].concat()));
            }
            if Engine::of_tests() == Engine::Postgres {
                service.restore(Path::new(&file(backup)));
            }
        }
        let output = self.installation.manager.run(&["admin", "reset", "--credential-file", &file("new-credential")]);
        assert!(output.status.success());
        self.heard.push(("admin reset".to_owned(), [output.stdout, output.stderr].concat()));
        self.credentials.push(fs::read_to_string(file("new-credential")).unwrap().trim().to_owned());
        self.installation.start().await;
    }

    /// What must be nowhere, and what may be at the manager only.
    fn needles(&self) -> (Vec<Needle>, Vec<Needle>) {
        let mut secrets = vec![
            Needle::new("the value", self.value.as_bytes()),
            // A part of it, in case something is cut.
            Needle::new("the start of the value", &self.value.as_bytes()[..20]),
            Needle::new("the end of the value", &self.value.as_bytes()[self.value.len() - 20..]),
            Needle::new("the bytes", &self.bytes),
        ];
        for token in &self.tokens {
            let parts: Vec<&str> = token.split('.').collect();
            secrets.push(Needle::new("a token's signature", parts[2].as_bytes()));
            secrets.push(Needle::new("a token's signature's bytes", &decoded(parts[2])));
            secrets.push(Needle::new("a token's claims", parts[1].as_bytes()));
            let claims: Value = serde_json::from_slice(&decoded(parts[1])).unwrap();
            secrets.push(Needle::new("sealed release keys", &decoded(claims["rk"].as_str().unwrap())));
        }
        for credential in &self.credentials {
            secrets.push(Needle::new("a credential", credential.as_bytes()));
            secrets.push(Needle::new("a credential's bytes", &decoded(credential.strip_prefix("spv_").unwrap())[..32]));
        }
        for (what, text) in &self.people {
            secrets.push(Needle::new(what, text.as_bytes()));
        }
        for (what, key) in self.keys() {
            secrets.push(Needle::new(&what, &key));
        }
        (secrets, vec![Needle::new("the name", self.name.as_bytes())])
    }

    /// Every key in the key folders, and the seal keys.
    fn keys(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = self.seal_keys.clone();
        assert!(!found.is_empty());
        for service in [&self.installation.manager, &self.installation.vault] {
            for path in files(&service.keys()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).unwrap();
                if path.extension().is_some_and(|extension| extension == "key") {
                    found.push((name, decoded(text.trim())));
                } else if text.contains("PRIVATE KEY") {
                    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
                    let der = STANDARD.decode(body).unwrap();
                    // The end of PKCS#8 is secret: the last numbers of RSA, the seed of Ed25519.
                    found.push((name, der[der.len() - 32..].to_vec()));
                }
            }
        }
        assert!(found.len() >= 10, "{}", found.len());
        found
    }

    /// Everything that services and commands wrote and said, without the key folders and the runtime directory.
    fn search(&self, secrets: &[Needle], names: &[Needle]) -> Vec<String> {
        let Self { installation, .. } = self;
        let mut found = Vec::new();
        let mut look = |service: &Service, needles: &[Needle]| {
            let copy = tempfile::tempdir().unwrap();
            service.steal_data(&copy.path().join(service.name()));
            found.extend(traces::in_tree(copy.path(), needles));
            found.extend(traces::in_bytes("the log", service.log().as_bytes(), needles));
            found.extend(traces::in_bytes("configuration", &fs::read(service.config()).unwrap(), needles));
            for file in ["cmdline", "environ"] {
                // As another user cannot read the environment, neither may the test be able to.
                let bytes = fs::read(format!("/proc/{}/{file}", service.pid())).unwrap_or_default();
                found.extend(traces::in_bytes(file, &bytes, needles));
            }
        };
        look(&installation.manager, secrets);
        look(&installation.vault, secrets);
        look(&installation.vault, names);
        for (what, bytes) in &self.heard {
            found.extend(traces::in_bytes(what, bytes, secrets));
            found.extend(traces::in_bytes(what, bytes, names));
        }
        for backup in ["vault.backup", "manager.backup"] {
            found.extend(traces::in_bytes(backup, &fs::read(installation.folder().join(backup)).unwrap(), secrets));
        }
        found
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
