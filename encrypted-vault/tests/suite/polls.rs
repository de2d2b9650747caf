//! A vault whose clock is wrong, whose events are held back, or that hears two managers.

use service_runtime::clock::Clock as _;
use shared_proto::command::Operation;
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::TokenId;

use crate::support::{NOW, World, command, get};

#[actix_web::test]
async fn recorded_poll_shown_to_a_vault_whose_clock_was_set_back_revives_no_expired_token() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let dead = Err((401, "token_invalid".to_owned()));
    let body = serde_json::to_vec(&world.manager.poll_body(world.seal_kid())).unwrap();
    let recorded: Vec<String> = (0..5).map(|at| world.manager.command(Operation::Poll, &body, NOW + at)).collect();
    world.clock.advance(901);
    world.vault.tick();
    assert_eq!(world.value(&token, &secret).await, dead);
    world.poll_now().await;
    for (at, poll) in (0..).zip(&recorded) {
        world.clock.set_now(NOW + at);
        let reply = command(&world.vault, "/api/commands", poll, body.clone()).await;
        assert_eq!(reply.problem(), (401, "clock_differs".to_owned()), "{at}");
        assert_eq!(world.value(&token, &secret).await, dead, "{at}");
        assert!(!world.vault.statements.clock_is_confirmed());
    }
    world.clock.set_now(NOW + 901);
    world.poll_now().await;
    assert!(world.value(&world.token(&[secret]), &secret).await.is_ok());
}

#[actix_web::test]
async fn vault_that_was_told_of_newer_events_and_does_not_get_them_opens_nothing_until_they_come() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    world.manager.event(Event::Token(TokenId::generate()));
    let ready = async |world: &World| get(&world.vault, "/health/ready", "").await.status;
    for _second in 0..5 {
        world.poll().await;
        assert!(world.value(&token, &secret).await.is_ok(), "a push may be on its way");
        assert_eq!(ready(&world).await, 200);
        world.clock.advance(1);
    }
    assert_eq!(world.value(&token, &secret).await, Err((503, "revocations_behind".to_owned())));
    assert_eq!(ready(&world).await, 503);
    let push = world.manager.push_body(0);
    assert_eq!(world.order(Operation::Push, &push).await.status, 202);
    assert!(world.value(&token, &secret).await.is_ok());
    assert_eq!(ready(&world).await, 200);
}

#[actix_web::test]
async fn poll_that_is_replayed_withdraws_no_event_that_a_newer_one_told_of() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    let older = serde_json::to_vec(&world.manager.poll_body(world.seal_kid())).unwrap();
    world.manager.event(Event::Token(TokenId::generate()));
    world.clock.advance(2);
    world.poll().await;
    let now = world.clock.now();
    // One from before, and one of the same second.
    for issued_at in [now - 2, now] {
        let recorded = world.manager.command(Operation::Poll, &older, issued_at);
        assert_eq!(command(&world.vault, "/api/commands", &recorded, older.clone()).await.status, 200);
    }
    world.clock.advance(5);
    assert_eq!(world.value(&token, &secret).await, Err((503, "revocations_behind".to_owned())));
    let recorded = world.manager.command(Operation::Poll, &older, now - 2);
    assert_eq!(command(&world.vault, "/api/commands", &recorded, older).await.status, 200);
    assert_eq!(world.value(&token, &secret).await, Err((503, "revocations_behind".to_owned())));
}

#[actix_web::test]
async fn second_manager_is_told_from_a_restart_and_both_are_refused() {
    let mut world = World::new().await;
    let first = world.manager.instance;
    let ready = async |world: &World| get(&world.vault, "/health/ready", "").await.status;
    world.clock.advance(1);
    world.manager.instance = Bytes([7; 16]);
    world.poll().await;
    assert_eq!(ready(&world).await, 200, "a restart");
    for instance in [first, Bytes([7; 16])] {
        world.clock.advance(1);
        world.manager.instance = instance;
        assert_eq!(world.poll_unchecked().await.problem(), (409, "second_manager".to_owned()));
        assert_eq!(ready(&world).await, 503);
    }
    // A revocation that still comes is applied.
    world.revoke(Event::Token(TokenId::generate())).await;
    world.clock.advance(60);
    world.poll().await;
    assert_eq!(ready(&world).await, 200, "one of them is gone");
}
