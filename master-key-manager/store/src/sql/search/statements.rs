//! The statements of lists, put together from their parts when the program is built, so that each is a constant.

/// Secrets that are read at once.
pub(super) const BATCH: usize = 32;

/// The conditions of a query, for the row `i`, by the places of their parameters.
macro_rules! fits {
    ($kind:literal, $owner:literal, $state:literal, $name:literal, $due:literal, $tags:literal) => {
        concat!(
            "(?",
            $kind,
            " = '' OR i.kind = ?",
            $kind,
            ") AND (?",
            $owner,
            " = '' OR i.owner = ?",
            $owner,
            ") AND (?",
            $state,
            " = '' OR i.state = ?",
            $state,
            ") AND +i.due_at <= ?",
            $due,
            " AND i.name LIKE ?",
            $name,
            " ESCAPE '!' AND i.tags LIKE ?",
            $tags,
            " ESCAPE '!'"
        )
    };
}

macro_rules! keys {
    () => {
        "SELECT i.secret_id, i.environment_id, i.path, i.created_at, i.updated_at, i.due_at FROM "
    };
}

macro_rules! pool {
    ($limit:literal, $fits:expr, ($count_from:literal, $count_where:literal), ($from:literal, $where:literal)) => {
        Pool {
            count: concat!("SELECT count(*) FROM (SELECT 1 AS one FROM ", $count_from, " WHERE ", $count_where, " LIMIT ?", $limit, ") AS found"),
            read: concat!(
                keys!(),
                "(SELECT i.secret_id, i.environment_id, i.path, i.name, i.kind, i.owner, i.state, i.tags, i.created_at, i.updated_at, i.due_at FROM ",
                $from, " WHERE ", $where, " LIMIT ?", $limit, ") AS i WHERE ", $fits
            ),
        }
    };
}

macro_rules! pool_of_one {
    ($($part:tt),*) => { pool!(2, fits!(3, 4, 5, 6, 7, 8), $($part),*) };
}

/// A set of rows that is read as a whole if it is small. Its own parameters are the first ones of both statements, then comes a
/// limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    /// Counts its rows up to the limit.
    pub(super) count: &'static str,
    /// Reads those of its rows that fit; the parameters of the conditions are the last ones.
    pub(super) read: &'static str,
}

pub(super) const RANGE: Pool = pool!(
    4,
    fits!(5, 6, 7, 8, 9, 10),
    ("search_secrets i", "i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3"),
    ("search_secrets i", "i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3")
);
pub(super) const OF_OWNER: Pool = pool_of_one!(
    ("search_secrets i", "i.owner = ?1 AND i.owner <> ''"),
    ("search_secrets i", "i.owner = ?1 AND i.owner <> ''")
);
pub(super) const OF_KIND: Pool = pool_of_one!(("search_secrets i", "i.kind = ?1"), ("search_secrets i", "i.kind = ?1"));
pub(super) const OF_STATE: Pool = pool_of_one!(
    ("search_secrets i", "i.state = ?1 AND i.state <> 'active'"),
    ("search_secrets i", "i.state = ?1 AND i.state <> 'active'")
);
pub(super) const DUE: Pool =
    pool_of_one!(("search_secrets i", "i.due_at <= ?1"), ("search_secrets i", "i.due_at <= ?1"));
pub(super) const WITH_TAG: Pool = pool!(
    3,
    fits!(4, 5, 6, 7, 8, 9),
    ("search_tags t", "t.key = ?1 AND t.value = ?2"),
    ("search_tags t CROSS JOIN search_secrets i", "t.key = ?1 AND t.value = ?2 AND i.secret_id = t.secret_id")
);
pub(super) const WITH_KEY: Pool = pool_of_one!(
    ("search_tags t", "t.key = ?1"),
    ("search_tags t CROSS JOIN search_secrets i", "t.key = ?1 AND i.secret_id = t.secret_id")
);
/// By the index of SQLite. The parameter is a text in quotation marks.
pub(super) const NAMED_IN_FILE: Pool = pool_of_one!(
    ("search_names", "search_names MATCH ?1"),
    ("search_names CROSS JOIN search_secrets i", "search_names MATCH ?1 AND i.entry = search_names.rowid")
);
/// By the index of PostgreSQL. The parameter is a pattern.
pub(super) const NAMED_ON_SERVER: Pool =
    pool_of_one!(("search_secrets i", "i.name LIKE ?1 ESCAPE '!'"), ("search_secrets i", "i.name LIKE ?1 ESCAPE '!'"));

/// A walk along the paths of an environment, from one path on up to and without another.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathWalk {
    /// The path behind a number of rows.
    pub(super) bound: &'static str,
    /// The first rows that fit.
    pub(super) read: &'static str,
}

macro_rules! path_walk {
    ($order:literal) => {
        PathWalk {
            bound: concat!(
                "SELECT i.path FROM search_secrets i WHERE i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3 ORDER BY i.path",
                $order, " LIMIT 1 OFFSET ?4"
            ),
            read: concat!(
                keys!(),
                "search_secrets i WHERE i.environment_id = ?1 AND i.path >= ?2 AND i.path < ?3 AND ",
                fits!(5, 6, 7, 8, 9, 10),
                " ORDER BY i.path", $order, " LIMIT ?4"
            ),
        }
    };
}

pub(super) const PATHS_UP: PathWalk = path_walk!("");
pub(super) const PATHS_DOWN: PathWalk = path_walk!(" DESC");

/// A walk along times, behind a time and an id, up to another and with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeWalk {
    /// The time and the id behind a number of rows.
    pub(super) bound: &'static str,
    /// The first rows that fit. The parameters six and seven are an environment, and 0 if it may be any.
    pub(super) read: &'static str,
}

macro_rules! time_walk {
    ($column:literal, $behind:literal, $until:literal, $order:literal) => {
        TimeWalk {
            bound: concat!(
                "SELECT i.",
                $column,
                ", i.secret_id FROM search_secrets i WHERE (i.",
                $column,
                ", i.secret_id) ",
                $behind,
                " (?1, ?2) ORDER BY i.",
                $column,
                $order,
                ", i.secret_id",
                $order,
                " LIMIT 1 OFFSET ?3"
            ),
            read: concat!(
                keys!(),
                "search_secrets i WHERE (i.",
                $column,
                ", i.secret_id) ",
                $behind,
                " (?1, ?2) AND (i.",
                $column,
                ", i.secret_id) ",
                $until,
                " (?3, ?4) AND (?6 = 0 OR i.environment_id = ?7) AND ",
                fits!(8, 9, 10, 11, 12, 13),
                " ORDER BY i.",
                $column,
                $order,
                ", i.secret_id",
                $order,
                " LIMIT ?5"
            ),
        }
    };
}

pub(super) const CREATED_UP: TimeWalk = time_walk!("created_at", ">", "<=", "");
pub(super) const CREATED_DOWN: TimeWalk = time_walk!("created_at", "<", ">=", " DESC");
pub(super) const UPDATED_UP: TimeWalk = time_walk!("updated_at", ">", "<=", "");
pub(super) const UPDATED_DOWN: TimeWalk = time_walk!("updated_at", "<", ">=", " DESC");
pub(super) const DUE_UP: TimeWalk = time_walk!("due_at", ">", "<=", "");
pub(super) const DUE_DOWN: TimeWalk = time_walk!("due_at", "<", ">=", " DESC");

macro_rules! secrets {
    ($which:literal) => {
        concat!(
            "SELECT s.secret_id, s.environment_id, s.path, s.number, s.since, s.rules, s.tag, s.details, s.details_tag, s.revision,
                s.created_at, s.updated_at, s.current_version, s.previous_version, s.pending_version,
                v.version, v.envelope, v.note, v.author, v.expires_at, v.created_at, v.tag
             FROM secrets s LEFT JOIN versions v
                ON v.secret_id = s.secret_id AND v.version = s.current_version AND v.state = 'committed'
             WHERE s.secret_id ",
            $which
        )
    };
}

/// Reads [`BATCH`] secrets.
pub(super) const SECRETS: &str = secrets!(
    "IN (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
         ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)"
);
/// Reads the secrets after one, by their ids.
pub(super) const NEXT_SECRETS: &str = secrets!("> ?1 ORDER BY s.secret_id LIMIT ?2");

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::sql::schema::SCHEMA;

    fn plan(database: &Connection, statement: &str) -> String {
        let mut explained = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let (mut rows, mut lines) = (explained.raw_query(), Vec::new());
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get::<_, String>(3).unwrap());
        }
        lines.join("; ")
    }

    #[test]
    fn sqlite_reads_along_an_index_and_sorts_nothing() {
        let database = Connection::open_in_memory().unwrap();
        SCHEMA.sqlite.iter().for_each(|step| database.execute_batch(step).unwrap());
        let walks = [
            (PATHS_UP.bound, "search_paths"),
            (PATHS_UP.read, "search_paths"),
            (PATHS_DOWN.bound, "search_paths"),
            (PATHS_DOWN.read, "search_paths"),
            (CREATED_UP.bound, "search_created"),
            (CREATED_UP.read, "search_created"),
            (CREATED_DOWN.read, "search_created"),
            (UPDATED_UP.read, "search_updated"),
            (UPDATED_DOWN.bound, "search_updated"),
            (DUE_UP.read, "search_due"),
            (DUE_DOWN.read, "search_due"),
            (RANGE.count, "search_paths"),
            (OF_KIND.count, "search_kinds"),
        ];
        for (statement, index) in walks {
            let plan = plan(&database, statement);
            assert!(plan.contains(index) && !plan.contains("SCAN i") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        let pools = [
            (RANGE, "search_paths"),
            (OF_OWNER, "search_owners"),
            (OF_KIND, "search_kinds"),
            (OF_STATE, "search_states"),
            (DUE, "search_due"),
            (WITH_TAG, "SEARCH t USING PRIMARY KEY (key=? AND value=?)"),
            (WITH_KEY, "SEARCH t USING PRIMARY KEY (key=?)"),
            (NAMED_IN_FILE, "VIRTUAL TABLE INDEX"),
        ];
        for (pool, index) in pools {
            let plan = plan(&database, pool.read);
            assert!(plan.contains(index) && !plan.contains("SCAN search_secrets"), "{plan}");
        }
        assert!(plan(&database, SECRETS).contains("SEARCH s USING PRIMARY KEY"), "one by one");
    }
}
