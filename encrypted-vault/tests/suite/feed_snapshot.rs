//! What remains of the feed when what has ended is dropped: here, at a start, and where the manager dropped it.

use serde_json::json;
use service_runtime::sql::Fault;
use shared_proto::chain::ChainHead;
use shared_proto::command::Operation;
use shared_proto::encoding::Bytes;
use shared_proto::event::{Event, EventClaims, event_hash};
use shared_proto::id::{CredentialId, PersonId, Subject, TokenId};
use shared_proto::wire::vault::{Push, Replay, ReplayAnswer};

use crate::support::{Secret, World, copy_database};

fn ends() -> Event {
    Event::Token(TokenId::generate())
}

/// The numbers of the events in the database.
fn rows(world: &World) -> Vec<u64> {
    let database = world.database();
    let mut statement = database.prepare("SELECT seq FROM events ORDER BY seq").unwrap();
    statement.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(|seq| seq.unwrap().cast_unsigned()).collect()
}

/// Time goes by, in which the seal keys turn and the manager polls.
async fn an_hour_and_two_minutes(world: &World) {
    for _ in 0..62 {
        world.clock.advance(60);
        world.vault.tick();
    }
    world.poll_now().await;
}

/// A vault with 3 events that last, numbers 2, 3 and 6, among others that end; the last is number 7.
async fn lived() -> (World, Secret) {
    let mut world = World::new().await;
    let (kept, destroyed) = (world.secret("v").await, world.secret("w").await);
    let destroy = Event::Destroy(world.manager.environment, destroyed.id, destroyed.version);
    let credential = Event::Credential(CredentialId::generate());
    for event in [ends(), destroy, credential, ends(), Event::All, Event::SigningKey(Bytes([7; 32])), ends()] {
        world.revoke(event).await;
    }
    (world, kept)
}

async fn push(world: &World, push: &Push) -> (u16, serde_json::Value) {
    let reply = world.order(Operation::Push, push).await;
    (reply.status, reply.json())
}

#[actix_web::test]
async fn what_has_ended_is_dropped_and_a_start_reads_only_what_lasts_and_what_is_recent() {
    let (mut world, kept) = lived().await;
    world.vault.feed.drop_ended().await.unwrap();
    assert_eq!(rows(&world), [1, 2, 3, 4, 5, 6, 7], "nothing has ended yet");
    an_hour_and_two_minutes(&world).await;
    world.revoke(ends()).await;
    let token = world.token(&[kept]);
    world.vault.feed.drop_ended().await.unwrap();
    assert_eq!(rows(&world), [2, 3, 6, 8], "what lasts, and what is recent");
    world.vault.feed.drop_ended().await.unwrap();
    world.reopen().await;
    assert_eq!(rows(&world), [2, 3, 6, 8], "all that a start reads");
    assert_eq!(world.value(&token, &kept).await.unwrap(), "v", "with its mark and seal keys it goes on");
    let replay: ReplayAnswer = world.order(Operation::Replay, &Replay { after: 0, limit: 9 }).await.expect(200);
    let events = [1, 2, 5, 7].map(|place: usize| world.manager.events[place].clone());
    assert_eq!(replay.events, events);
    world.revoke(ends()).await;
    an_hour_and_two_minutes(&world).await;
    world.vault.feed.drop_ended().await.unwrap();
    assert_eq!(rows(&world), [2, 3, 6, 9], "the newest one stays, whatever it is");
    world.revoke(ends()).await;
}

#[actix_web::test]
async fn what_was_read_at_a_start_ends_an_hour_after_it() {
    let (mut world, _) = lived().await;
    world.clock.advance(3_500);
    world.reopen().await;
    world.clock.advance(3_600);
    world.vault.feed.drop_ended().await.unwrap();
    assert_eq!(rows(&world), [1, 2, 3, 4, 5, 6, 7], "nobody knows when they were applied");
    world.clock.advance(60);
    world.vault.feed.drop_ended().await.unwrap();
    assert_eq!(rows(&world), [2, 3, 6, 7]);
}

#[actix_web::test]
async fn lasting_revocations_hold_when_their_neighbours_are_dropped() {
    let mut world = World::new().await;
    let (secret, destroyed) = (world.secret("v").await, world.secret("w").await);
    world.revoke(Event::Destroy(world.manager.environment, destroyed.id, destroyed.version)).await;
    world.revoke(Event::SigningKey(crate::support::signing_keys()[0].public().thumbprint())).await;
    world.revoke(ends()).await;
    an_hour_and_two_minutes(&world).await;
    world.vault.feed.drop_ended().await.unwrap();
    world.database().execute("DELETE FROM tombstones", []).unwrap();
    world.reopen().await;
    world.poll_now().await;
    for secret in [secret, destroyed] {
        let token = world.token(&[secret]);
        assert_eq!(world.value(&token, &secret).await, Err((401, "token_invalid".to_owned())));
    }
}

#[actix_web::test]
async fn events_are_dropped_a_page_at_a_time_and_a_crash_between_two_loses_nothing() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    for _ in 0..700 {
        world.manager.event(ends());
    }
    for from in [0, 250, 500] {
        let body = world.manager.push_body(from);
        let part = Push { events: body.events[..(700 - from).min(250)].to_vec(), ..body };
        assert_eq!(push(&world, &part).await.0, 202);
    }
    an_hour_and_two_minutes(&world).await;
    world.reopen().await;
    an_hour_and_two_minutes(&world).await;
    // As if the process died after its first transaction.
    world.faults.set(Fault::AnswersLost);
    world.vault.feed.drop_ended().await.unwrap_err();
    world.faults.set(Fault::None);
    assert_eq!(rows(&world), (257..=700).collect::<Vec<_>>(), "one transaction drops one page");
    let token = world.token(&[secret]);
    world.revoke(ends()).await;
    world.reopen().await;
    assert_eq!(world.value(&token, &secret).await.unwrap(), "v");
    an_hour_and_two_minutes(&world).await;
    world.vault.feed.drop_ended().await.unwrap();
    assert_eq!(rows(&world), [701]);
}

#[actix_web::test]
async fn vault_passes_over_what_the_manager_dropped_and_every_token_of_that_time_is_dead() {
    let mut world = World::new().await;
    let (secret, destroyed) = (world.secret("v").await, world.secret("w").await);
    let (draft, unnamed) = (world.draft(&[secret]), world.token(&[secret]));
    assert_eq!(world.value(&draft.sign(), &secret).await.unwrap(), "v");
    world.manager.event(Event::Token(draft.jti.parse().unwrap()));
    world.manager.event(Event::Destroy(world.manager.environment, destroyed.id, destroyed.version));
    world.manager.event(ends());
    world.manager.event(ends());
    let (status, body) = push(&world, &world.manager.shortened(0, 4)).await;
    assert_eq!((status, &body["feed"]["applied"]), (202, &json!(4)));
    assert_eq!(rows(&world), [2, 4]);
    for restarted in [false, true] {
        for token in [&draft.sign(), &unnamed] {
            let refused = Err((401, "token_invalid".to_owned()));
            assert_eq!(world.value(token, &secret).await, refused, "nobody knows what was passed over: {restarted}");
        }
        let old = world.token(&[destroyed]);
        assert_eq!(world.value(&old, &destroyed).await, Err((401, "token_invalid".to_owned())));
        let mut later = world.draft(&[secret]);
        later.rseq = 3;
        assert_eq!(world.value(&later.sign(), &secret).await.unwrap(), "v", "minted after them: {restarted}");
        world.reopen().await;
    }
    world.revoke(ends()).await;
}

#[actix_web::test]
async fn vault_restored_to_before_what_the_manager_dropped_opens_no_dead_token() {
    let (mut world, kept) = lived().await;
    let draft = world.draft(&[kept]);
    let backup = world.dir.path().join("backup.db");
    world.stop().await;
    copy_database(&world.config.database(), &backup);
    world.vault = world.start().await.unwrap();
    world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
    world.revoke(Event::Destroy(world.manager.environment, kept.id, kept.version)).await;
    world.revoke(ends()).await;
    world.stop().await;
    copy_database(&backup, &world.config.database());
    world.vault = world.start().await.unwrap();
    let (status, body) = push(&world, &world.manager.shortened(7, 10)).await;
    assert_eq!((status, &body["feed"]["applied"]), (202, &json!(10)));
    let secret = world.secret("x").await;
    let newest = |secret| {
        let mut fresh = world.draft(&[secret]);
        fresh.rseq = 10;
        fresh.sign()
    };
    let behind = Err((503, "revocations_behind".to_owned()));
    assert_eq!(world.value(&newest(secret), &secret).await, behind, "before a poll names a new seal key");
    assert!(world.value(&draft.sign(), &kept).await.is_err());
    world.poll_now().await;
    let dead = Err((401, "token_invalid".to_owned()));
    assert_eq!(world.value(&draft.sign(), &kept).await, dead, "revoked by an event that nobody has any more");
    assert_eq!(world.value(&newest(kept), &kept).await, dead, "destroyed");
    assert_eq!(world.value(&newest(secret), &secret).await.unwrap(), "x");
}

#[actix_web::test]
async fn vault_never_passes_over_a_gap_on_the_managers_bare_word() {
    for case in 0..6 {
        let mut world = World::new().await;
        world.revoke(ends()).await;
        for event in [Event::Subject(Subject::Person(PersonId::generate())), ends(), ends()] {
            world.manager.event(event);
        }
        let good = world.manager.shortened(1, 4);
        let (lasting, newest) = (good.events[0].clone(), good.events[1].clone());
        let body = |events, dropped_below| Push { events, dropped_below, ..good.clone() };
        let head = EventClaims::reread(&newest).unwrap();
        let place = |lasting| ChainHead { number: 3, hash: head.prev, lasting };
        let (refused, code) = match case {
            0 => (body(vec![lasting.clone(), newest.clone()], 3), "event_gap"),
            1 => (body(vec![newest.clone()], 0), "event_gap"),
            2 => (body(vec![newest.clone()], 4), "event_conflict"),
            3 => {
                let zeros = world.manager.sign_event(ends(), place(Bytes([0; 32])));
                (body(vec![lasting.clone(), zeros], 4), "event_conflict")
            }
            4 => {
                let ended = world.manager.sign_event(ends(), place(event_hash(&world.manager.events[0])));
                (body(vec![lasting.clone(), ended], 4), "event_conflict")
            }
            _ => {
                let stranger = World::new().await;
                let forged = stranger.manager.sign_event(ends(), place(event_hash(&lasting)));
                (body(vec![lasting.clone(), forged], 4), "body_invalid")
            }
        };
        let (status, said) = push(&world, &refused).await;
        assert_eq!(said["code"], code, "{case}");
        assert_eq!(rows(&world), [1], "{case}: nothing is applied");
        let stopped = code == "event_conflict";
        assert_eq!(status == 409 && !stopped, code == "event_gap", "{case}");
        assert_eq!(push(&world, &good).await.0, if stopped { 409 } else { 202 }, "{case}");
    }
}

#[actix_web::test]
async fn known_number_that_was_dropped_changes_nothing_and_another_one_stops_the_feed() {
    let (mut world, _) = lived().await;
    an_hour_and_two_minutes(&world).await;
    world.revoke(ends()).await;
    world.vault.feed.drop_ended().await.unwrap();
    let other = world.manager.event_at(ends(), 4, event_hash(&world.manager.events[2]));
    let known = Push { events: vec![other], ..world.manager.push_body(0) };
    let (status, body) = push(&world, &known).await;
    assert_eq!((status, &body["feed"]["applied"]), (202, &json!(8)));
    let mut poll = world.manager.poll_body(world.seal_kid());
    (poll.newest, poll.newest_hash) = (4, Bytes([9; 32]));
    poll.statements = vec![];
    assert_eq!(world.order(Operation::Poll, &poll).await.status, 200, "a manager of another day is told where we are");
    let other = world.manager.event_at(ends(), 6, event_hash(&world.manager.events[4]));
    let known = Push { events: vec![other], ..world.manager.push_body(0) };
    assert_eq!(push(&world, &known).await.1["code"], "event_conflict", "number 6 lasts");
}

#[actix_web::test]
async fn events_that_a_thief_takes_out_of_the_database_revive_no_token() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
    world.revoke(Event::Credential(CredentialId::generate())).await;
    world.revoke(ends()).await;
    world.stop().await;
    let whole = world.dir.path().join("whole.db");
    copy_database(&world.config.database(), &whole);
    world.database().execute("DELETE FROM events WHERE seq = 1", []).unwrap();
    world.vault = world.start().await.unwrap();
    assert_eq!(world.value(&draft.sign(), &secret).await, Err((401, "token_invalid".to_owned())));
    for tampering in [
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET compact = (SELECT compact FROM events WHERE seq = 3) WHERE seq = 2",
        "UPDATE events SET seq = 9 WHERE seq = 3",
        "UPDATE events SET seq = seq + 1 WHERE seq = 3",
        "UPDATE events SET compact = 'x' WHERE seq = 1",
    ] {
        world.stop().await;
        copy_database(&whole, &world.config.database());
        world.database().execute(tampering, []).unwrap();
        assert!(world.start().await.is_err(), "{tampering}");
        copy_database(&whole, &world.config.database());
        world.vault = world.start().await.unwrap();
    }
}
