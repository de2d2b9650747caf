//! A request that waits outlives its right by nothing: what changed meanwhile counts.

use std::sync::Arc;

use actix_web::test::TestRequest;
use encrypted_vault::revocation::{LocalRefusal, refuse_command};
use futures_util::future::join;
use service_runtime::clock::Clock as _;
use service_runtime::key_folder::KeyFolder;
use service_runtime::sql::Fault;
use shared_proto::command::Operation;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, TokenId};
use shared_proto::identity::{IdentityKey, Mode};

use crate::support::{Draft, Reply, Secret, World, get, put, send_held, signing_keys};

/// What can end the right of a token while its request waits.
#[derive(Clone, Copy, Debug)]
enum End {
    Nothing,
    Expiry,
    Revocation(Event),
    LocalRefusal(LocalRefusal),
}

/// Every end of the right to read `secret` with the token of `draft`; the last is none.
fn ends(world: &World, draft: &Draft, secret: &Secret) -> Vec<End> {
    let (jti, subject) = (draft.jti.parse().unwrap(), draft.sub.parse().unwrap());
    vec![
        End::Expiry,
        End::Revocation(Event::Token(jti)),
        End::Revocation(Event::Subject(subject)),
        End::Revocation(Event::Credential(draft.client_id.parse().unwrap())),
        End::Revocation(Event::Environment(world.manager.environment)),
        End::Revocation(Event::Secret(secret.id)),
        End::Revocation(Event::Version(secret.id, secret.version)),
        End::Revocation(Event::All),
        End::Revocation(Event::SigningKey(signing_keys()[0].public().thumbprint())),
        End::Revocation(Event::Destroy(world.manager.environment, secret.id, secret.version)),
        End::LocalRefusal(LocalRefusal::Token(jti)),
        End::LocalRefusal(LocalRefusal::Subject(subject)),
        End::LocalRefusal(LocalRefusal::Everything),
        End::Nothing,
    ]
}

impl End {
    async fn comes(self, world: &mut World) {
        match self {
            Self::Nothing => {}
            Self::Expiry => world.clock.advance(900),
            Self::Revocation(event) => world.revoke(event).await,
            Self::LocalRefusal(refusal) => {
                refuse_command(&world.config.data_dir, refusal, false).unwrap();
                world.vault.refusals.reload();
            }
        }
    }
}

fn batch(token: &str) -> TestRequest {
    TestRequest::post().uri("/api/keys:read").insert_header(("authorization", format!("Bearer {token}")))
}

#[actix_web::test]
async fn a_right_that_ends_while_the_body_is_held_back_opens_nothing() {
    for number in 0..13 {
        let mut world = World::new().await;
        let secret = world.secret("never").await;
        let draft = world.draft(&[secret]);
        let end = ends(&world, &draft, &secret).remove(number);
        let body = format!(r#"{{"key_ids":["{}"]}}"#, secret.id).into_bytes();
        let vault = Arc::clone(&world.vault);
        let reply = send_held(&vault, batch(&draft.sign()), body, end.comes(&mut world)).await;
        expect_end(&reply, end);
    }
}

#[actix_web::test]
async fn a_right_that_ends_while_the_row_is_fetched_opens_nothing() {
    for many in [false, true] {
        for number in 0..13 {
            let mut world = World::new().await;
            let secret = world.secret("never").await;
            let draft = world.draft(&[secret]);
            let (token, end) = (draft.sign(), ends(&world, &draft, &secret).remove(number));
            let (vault, faults) = (Arc::clone(&world.vault), world.faults.clone());
            faults.set(Fault::ReadsWait);
            let reading = async {
                let body = format!(r#"{{"key_ids":["{}"]}}"#, secret.id).into_bytes();
                if many {
                    crate::support::command(&vault, "/api/keys:read", &token, body).await
                } else {
                    get(&vault, &format!("/api/keys/{}", secret.id), &token).await
                }
            };
            let ending = async {
                faults.read_begun().await;
                end.comes(&mut world).await;
                faults.set(Fault::None);
            };
            expect_end(&join(reading, ending).await.0, end);
        }
    }
}

#[track_caller]
fn expect_end(reply: &Reply, end: End) {
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(text.contains("never"), matches!(end, End::Nothing), "{end:?}: {text}");
    // The row of a destroyed version may be gone already.
    let refused = text.contains("token_invalid") || text.contains("secret_not_found");
    assert!(matches!(end, End::Nothing) || refused, "{end:?}: {text}");
}

fn orders(world: &World) -> [(&'static str, Operation, Vec<u8>); 2] {
    let poll = serde_json::to_vec(&world.manager.poll_body(world.seal_kid())).unwrap();
    let push = serde_json::to_vec(&world.manager.push_body(0)).unwrap();
    [("/api/commands", Operation::Poll, poll), ("/api/events", Operation::Push, push)]
}

fn order(world: &World, path: &str, op: Operation, body: &[u8]) -> TestRequest {
    let command = world.manager.command(op, body, world.clock.now());
    TestRequest::post().uri(path).insert_header(("authorization", format!("Bearer {command}")))
}

#[actix_web::test]
async fn a_command_that_ends_while_its_body_is_held_back_is_not_carried_out() {
    for number in 0..2 {
        for (seconds, refused) in [(59, false), (60, true)] {
            let mut world = World::new().await;
            world.manager.event(Event::Token(TokenId::generate()));
            let (path, op, body) = orders(&world).into_iter().nth(number).unwrap();
            let request = order(&world, path, op, &body);
            let clock = Arc::clone(&world.clock);
            let reply = send_held(&world.vault, request, body, async move { clock.advance(seconds) }).await;
            if refused {
                assert_eq!(reply.problem(), (401, "clock_differs".to_owned()), "{path}");
            } else {
                assert!(reply.status < 300, "{path}: {}", reply.status);
            }
        }
    }
}

#[actix_web::test]
async fn a_command_of_an_identity_that_is_unpinned_while_its_body_is_held_back_is_not_carried_out() {
    for number in 0..2 {
        let mut world = World::new().await;
        world.manager.event(Event::Secret(SecretId::generate()));
        let (path, op, body) = orders(&world).into_iter().nth(number).unwrap();
        let request = order(&world, path, op, &body);
        let old = std::mem::replace(&mut world.manager.identity, IdentityKey::generate().unwrap().0);
        let folder = KeyFolder::at(&world.config.key_dir);
        put(&folder.file("pins/next.json"), &serde_json::to_string(&world.manager.document()).unwrap());
        world.vault.key_rotation.step().await;
        let meanwhile = async {
            folder.unpin(&old.kid(), Mode::Development).unwrap();
            world.vault.key_rotation.step().await;
        };
        let reply = send_held(&world.vault, request, body, meanwhile).await;
        assert_eq!(reply.problem(), (401, "command_invalid".to_owned()), "{path}");
    }
}
