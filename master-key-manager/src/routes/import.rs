//! The import of a document with many values.

use std::collections::HashSet;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use manager_api::import::{
    DocumentFormat, ExistingSecrets, ImportAnswer, ImportOutcome, ImportSecrets, ImportedSecret,
};
use manager_api::kind::SecretKind;
use manager_api::name::{EnvironmentName, Note, SecretPath};
use manager_api::path_key::PathKey;
use manager_secret_kinds::Refused;
use manager_secret_kinds::document::{self, Entry};
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Route, call};
use service_runtime::tasks::by_size;
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use zeroize::Zeroizing;

use super::bulk::Repeats;
use super::secrets::{IDEMPOTENCY_KEY, STORE_LIMIT};
use super::written::{check_path, value};
use super::{describe, environment_id};
use crate::app::App;
use crate::audit_event::action;
use crate::bulk::{Done, Put, Step, Work};
use crate::http::Call;

pub(super) const ROUTES: &[Route] = &[Route::post(
    action::SECRET_IMPORT,
    "/api/secrets:import",
    "Stores the values of a document, or says what that would do.",
)
.body::<ImportSecrets>(STORE_LIMIT)
.parameters(&[IDEMPOTENCY_KEY])
.answers(&[Answer::json::<ImportAnswer>(200, "A row for each value.")])
.problems(&[
    ErrorCode::ParameterInvalid,
    ErrorCode::NameInvalid,
    ErrorCode::ValueInvalid,
    ErrorCode::IdempotencyMismatch,
    ErrorCode::Overloaded,
    ErrorCode::AuditUnavailable,
])
.needs(Access::Credential, || call(import))];

async fn import(call: Call<Json<ImportSecrets>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, body) = call.with_body();
    call.recorded(environment_id(&app, call.caller(), &body.environment))?;
    call.recorded(check_path(body.folder.as_ref()))?;
    let repeats = Repeats::of(&call, &app, &(action::SECRET_IMPORT, &body))?;
    let is_dry = body.dry_run;
    let (document, import) = split(body);
    let (entries, import) = call.recorded(parsed(document, import).await)?;
    let (rows, steps) = import.steps(entries, &app, &repeats);
    let bulk = Arc::clone(&app.bulk);
    let results = call.run(|caller, origin| async move {
        let results = bulk.run(steps, caller, &origin).await?;
        // Who is told which secrets exist is told it in the log, too, where nothing was written that says so.
        if is_dry || results.iter().any(|result| matches!(result, Ok(Done::Kept))) {
            bulk.tell(&origin).await?;
        }
        Ok(results)
    });
    let secrets = rows.into_iter().zip(results.await?).map(|(row, result)| row.with(result)).collect();
    Ok(HttpResponse::Ok().json(counted(is_dry, secrets)))
}

/// The terms of every value of a document.
struct Import {
    environment: EnvironmentName,
    folder: Option<SecretPath>,
    kind: Option<SecretKind>,
    keeps: bool,
    skip_unchanged: bool,
    note: Option<Note>,
    is_dry: bool,
}

fn split(body: ImportSecrets) -> ((DocumentFormat, Zeroizing<String>), Import) {
    let ImportSecrets { format, document, environment, folder, kind, existing, skip_unchanged, note, dry_run } = body;
    let keeps = existing == ExistingSecrets::Keep;
    ((format, document), Import { environment, folder, kind, keeps, skip_unchanged, note, is_dry: dry_run })
}

async fn parsed(
    (format, text): (DocumentFormat, Zeroizing<String>),
    import: Import,
) -> Result<(Vec<Entry>, Import), Refusal> {
    let read = by_size(text.len(), move || document::read(format, &text)).await;
    let read = read.map_err(|_| Refusal::internal("a task broke down"))?;
    Ok((read.map_err(|refused| invalid(&refused))?, import))
}

fn invalid(refused: &Refused) -> Refusal {
    Refusal::new(ErrorCode::ValueInvalid).detail(refused.to_string())
}

/// A row of the answer before its outcome is known.
struct Row {
    number: u64,
    line: Option<u64>,
    path: Option<SecretPath>,
}

impl Import {
    fn steps(&self, entries: Vec<Entry>, app: &App, repeats: &Repeats) -> (Vec<Row>, Vec<Step>) {
        let (mut known, mut rows, mut steps) = (HashSet::new(), Vec::new(), Vec::new());
        for (number, entry) in entries.into_iter().enumerate() {
            let path = self.path(&entry.names);
            let line = entry.line.map(|line| line as u64);
            rows.push(Row { number: number as u64 + 1, line, path: path.as_ref().ok().cloned() });
            let is_first = path.as_ref().is_ok_and(|path| known.insert(PathKey::of(path)));
            let work = match path {
                Ok(_) if !is_first => Err(Refusal::parameter("The document has this path already.")),
                Ok(path) => self.put(path, entry.value, (app, repeats, number)),
                Err(Malformed(rule)) => Err(Refusal::new(ErrorCode::NameInvalid).detail(rule)),
            };
            steps.push(Step { route: action::SECRET_IMPORT, work });
        }
        (rows, steps)
    }

    fn path(&self, names: &[String]) -> Result<SecretPath, Malformed> {
        let names = names.join("/");
        SecretPath::parse(match &self.folder {
            Some(folder) => format!("{folder}/{names}"),
            None => names,
        })
    }

    fn put(
        &self,
        path: SecretPath,
        text: Result<Zeroizing<String>, Refused>,
        (app, repeats, number): (&App, &Repeats, usize),
    ) -> Result<Work, Refusal> {
        check_path(Some(&path))?;
        let text = text.map_err(|refused| invalid(&refused))?;
        // The same whether the secret is made or gets its next version: the first request may have made it.
        let repeat = repeats.part(app, number, &(action::SECRET_IMPORT, &self.environment, &path, &text))?;
        Ok(Work::Put(Box::new(Put {
            environment: self.environment.clone(),
            path,
            value: value(None, text)?,
            kind: self.kind,
            note: self.note.clone(),
            keeps: self.keeps,
            skip_unchanged: self.skip_unchanged,
            is_dry: self.is_dry,
            idempotency: repeat,
        })))
    }
}

impl Row {
    fn with(self, result: Result<Done, Refusal>) -> ImportedSecret {
        let Self { number, line, path } = self;
        let row = |outcome| ImportedSecret { number, line, path, outcome, key_id: None, version: None, error: None };
        let refused = |refusal: &Refusal, row: ImportedSecret| ImportedSecret {
            error: Some(describe::operation_error(refusal)),
            ..row
        };
        match result {
            Err(refusal) => refused(&refusal, row(ImportOutcome::Refused)),
            Ok(Done::Put(is_new, written)) => {
                let (key_id, version) = written.unzip();
                let outcome = if is_new { ImportOutcome::Created } else { ImportOutcome::Updated };
                ImportedSecret { key_id, version, ..row(outcome) }
            }
            Ok(Done::Kept) => row(ImportOutcome::Kept),
            Ok(Done::Unchanged(written)) => {
                let (key_id, version) = written.unzip();
                ImportedSecret { key_id, version, ..row(ImportOutcome::Unchanged) }
            }
            Ok(
                Done::Stored(_)
                | Done::RolledBack(_)
                | Done::Rotated(_)
                | Done::ChangedVersion(_)
                | Done::Changed(_)
                | Done::Deleted(..)
                | Done::Destroyed(..)
                | Done::DestroyedVersions(..),
            ) => refused(&Refusal::internal("an operation of another route"), row(ImportOutcome::Refused)),
        }
    }
}

fn counted(dry_run: bool, secrets: Vec<ImportedSecret>) -> ImportAnswer {
    let count = |outcome| secrets.iter().filter(|row| row.outcome == outcome).count() as u64;
    ImportAnswer {
        dry_run,
        created: count(ImportOutcome::Created),
        updated: count(ImportOutcome::Updated),
        kept: count(ImportOutcome::Kept),
        unchanged: count(ImportOutcome::Unchanged),
        refused: count(ImportOutcome::Refused),
        secrets,
    }
}
