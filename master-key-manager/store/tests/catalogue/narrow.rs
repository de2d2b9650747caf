//! Lists of what is due, of notices and of envelopes for callers who may see a small part of a large catalogue.

use manager_api::notices::NoticeKind;
use manager_store::{ComparisonStore as _, NoticeStore as _, SecretRotationStore as _};
use service_runtime::sql::Tx;
use shared_proto::id::SecretId;

use super::{Catalogue, ENVIRONMENT, Engine, HIDDEN, NOW, environment};

const SEEN: usize = 60;
const YEAR: u64 = 365 * 24 * 60 * 60;
/// A time at which all that the test made is due.
const LATER: u64 = NOW + 2 * YEAR;

/// Rows of hidden secrets come before those that may be seen, in each of the lists.
const HIDE: [&str; 4] = [
    "UPDATE secrets SET rotation_due_at = 5 WHERE tag IS NULL",
    "INSERT INTO notices (number, kind, secret_id, version, threshold_days, due_at, created_at)
     SELECT ROW_NUMBER() OVER (ORDER BY secret_id), 'rotation', secret_id, 1, 30, 5, 1 FROM secrets WHERE tag IS NULL",
    "INSERT INTO notice_numbers (one, newest) SELECT 1, MAX(number) FROM notices",
    "INSERT INTO envelopes (secret_id, envelope, state, epoch, digest)
     SELECT secret_id, 1, 'committed', 1, ?1 FROM secrets WHERE tag IS NULL",
];

/// The lengths of all pages, and what is on them.
struct Pages {
    lengths: Vec<usize>,
    secrets: Vec<SecretId>,
}

impl Pages {
    fn new() -> Self {
        Self { lengths: Vec::new(), secrets: Vec::new() }
    }

    fn take(&mut self, secrets: Vec<SecretId>) {
        self.lengths.push(secrets.len());
        self.secrets.extend(secrets);
    }
}

impl Catalogue {
    async fn pages(&self, patterns: &[&str], limit: usize) -> [Pages; 3] {
        let visible = self.sees(patterns);
        let (mut due, mut after) = (Pages::new(), None);
        loop {
            let page = self.store.due_rotations(&visible, (0, LATER), after, limit).await.unwrap();
            due.take(page.secrets.iter().map(|due| due.secret).collect());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let (mut notices, mut after) = (Pages::new(), 0);
        loop {
            let page = self.store.notices(&visible, after, limit).await.unwrap();
            notices.take(page.notices.iter().map(|(notice, ..)| notice.secret).collect());
            let Some(next) = page.next else { break };
            after = next;
        }
        let (mut envelopes, mut after) = (Pages::new(), None);
        loop {
            let asked = (&visible, Vec::new());
            let page = self.store.readable_envelopes(asked, environment(), after, limit).await.unwrap();
            envelopes.take(page.envelopes.iter().map(|(secret, _)| *secret).collect());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        [due, notices, envelopes]
    }
}

async fn pages_tell_nothing_of_what_is_hidden(engine: Engine) {
    let all = Catalogue::on(engine).await;
    all.hide_many().await;
    let hide = |tx: &mut Tx<'_>| {
        let [due, notices, numbers, envelopes] = HIDE;
        for statement in [due, notices, numbers] {
            tx.execute(statement, &[])?;
        }
        tx.execute(envelopes, &[&[0_u8; 32]]).map(|_rows| ())
    };
    all.database.write("hide", hide).await.unwrap();
    let mut seen = Vec::new();
    for number in 0..SEEN {
        seen.push(all.write(&format!("team/{number:03}/key")).await);
    }
    all.vouch().await;
    let day_before = NOW + YEAR - 24 * 60 * 60;
    all.store.notice(NoticeKind::Rotation, None, day_before, 2 * SEEN).await.unwrap();
    seen.sort_unstable();
    for (limit, expected) in [(25, vec![25, 25, 10]), (30, vec![30, 30]), (SEEN, vec![SEEN]), (500, vec![SEEN])] {
        for (list, mut pages) in all.pages(&["team/**"], limit).await.into_iter().enumerate() {
            assert_eq!(pages.lengths, expected, "{engine:?} list {list} in pages of {limit}");
            pages.secrets.sort_unstable();
            assert_eq!(pages.secrets, seen, "{engine:?} list {list}");
        }
    }
    // A pattern without a beginning: all rows are walked along, a bounded number for each page.
    for (list, mut pages) in all.pages(&["*/*/key"], 500).await.into_iter().enumerate() {
        pages.secrets.sort_unstable();
        assert_eq!(pages.secrets, seen, "{engine:?} list {list}");
        // Paths that do not fit the whole pattern are not counted among what a page looks at.
        assert!((2..=HIDDEN / 4_096 + 2).contains(&pages.lengths.len()), "{engine:?} list {list}: {:?}", pages.lengths);
    }
    for (list, pages) in all.pages(&["nobody/**"], 500).await.into_iter().enumerate() {
        assert_eq!(pages.lengths, [0], "{engine:?} list {list}");
    }
    let rows = |tx: &mut Tx<'_>| {
        tx.one("SELECT COUNT(*) FROM secrets WHERE environment_id = ?1", &[&ENVIRONMENT], |row| row.get(0))
    };
    let rows: u64 = all.database.read("rows", rows).await.unwrap();
    assert_eq!(rows, u64::try_from(HIDDEN + SEEN).unwrap(), "the hidden ones are there");
    all.close().await;
}

#[tokio::test]
async fn pages_of_due_secrets_notices_and_envelopes_tell_nothing_of_what_is_hidden() {
    pages_tell_nothing_of_what_is_hidden(Engine::Sqlite).await;
}

#[tokio::test]
async fn pages_of_due_secrets_notices_and_envelopes_tell_nothing_of_what_is_hidden_on_postgres_too() {
    pages_tell_nothing_of_what_is_hidden(Engine::Postgres).await;
}
