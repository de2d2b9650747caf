//! The catalogue as the administrator sees it: secrets, and their versions.

use serde_json::Value;

use crate::Installation;

impl Installation {
    /// Every secret in every state: its id and its path.
    pub async fn secrets(&self) -> Vec<(String, String)> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/secrets?state=all&limit=200{after}");
            let page = self.admin_call("GET", &path, None).await.expect(200).json();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let secrets = page["secrets"].as_array().unwrap();
            found.extend(secrets.iter().map(|secret| (text(&secret["key_id"]), text(&secret["path"]))));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return found,
            }
        }
    }

    /// The versions of a secret, the oldest first, with their states. One that another took the place of counts as committed.
    pub async fn versions(&self, key_id: &str) -> Vec<(u64, String)> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/secrets/{key_id}/versions?sort=version&limit=500{after}");
            let page = self.admin_call("GET", &path, None).await.expect(200).json();
            for version in page["versions"].as_array().unwrap() {
                let state = version["state"].as_str().unwrap().replace("superseded", "committed");
                found.push((version["version"].as_u64().unwrap(), state));
            }
            match page["next"].as_u64() {
                Some(next) => after = format!("&after={next}"),
                None => return found,
            }
        }
    }
}
