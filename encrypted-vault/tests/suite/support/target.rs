//! A vault under attack: the one answer to every bad token.

use serde_json::{Map, Value};

use super::{Draft, Reply, Secret, World};

/// A vault with one secret, and the one answer to every bad token.
pub(crate) struct Target {
    pub(crate) world: World,
    pub(crate) secret: Secret,
    refusal: String,
}

impl Target {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let secret = world.secret("never").await;
        let refusal = world.read("nonsense", &secret).await.body_without_id();
        Self { world, secret, refusal }
    }

    pub(crate) fn draft(&self) -> Draft {
        self.world.draft(&[self.secret])
    }

    /// The token is refused as every bad token is, byte for byte.
    pub(crate) async fn refused(&self, token: &str, attack: &str) {
        let reply = self.world.read(token, &self.secret).await;
        self.is_the_refusal(&reply, attack);
    }

    pub(crate) fn is_the_refusal(&self, reply: &Reply, attack: &str) {
        assert_eq!(reply.problem(), (401, "token_invalid".to_owned()), "{attack}");
        assert_eq!(reply.body_without_id(), self.refusal, "{attack}");
    }

    /// Validly signed and well sealed, with the claims changed after.
    pub(crate) async fn refused_claims(&self, attack: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let draft = self.draft();
        let mut claims = draft.claims();
        change(&mut claims);
        self.refused(&Draft::sign_claims(&Value::Object(claims).to_string()), attack).await;
    }

    pub(crate) async fn refused_draft(&self, attack: &str, change: impl FnOnce(&mut Draft)) {
        let mut draft = self.draft();
        change(&mut draft);
        self.refused(&draft.sign(), attack).await;
    }

    pub(crate) async fn opens(&self, draft: &Draft) {
        assert_eq!(self.world.value(&draft.sign(), &self.secret).await.unwrap(), "never");
    }
}
