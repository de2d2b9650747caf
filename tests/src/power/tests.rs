//! What a cut makes of the content of files. With real services: `tests/suite/security/power_loss.rs`.

use super::*;

/// Changes to content as the shim would record them.
fn written(content: &mut Vec<u8>, at: usize, bytes: &[u8]) -> Record {
    let (size, end) = (content.len(), at + bytes.len());
    let old = content[at.min(size)..end.min(size)].to_vec();
    content.resize(size.max(end), 0);
    content[at..end].copy_from_slice(bytes);
    let number = |position: usize| u64::try_from(position).unwrap();
    Record {
        kind: b'w',
        at: number(at),
        count: number(bytes.len()),
        size: number(size),
        bytes: old,
        ..Record::default()
    }
}

#[test]
fn all_changes_are_taken_back_to_the_last_byte() {
    let before = b"0123456789".repeat(200);
    let mut content = before.clone();
    let changes = [
        written(&mut content, 5, &[b'a'; 700]),
        written(&mut content, 1990, &[b'b'; 40]),
        written(&mut content, 0, &[b'c'; 2030]),
        written(&mut content, 2500, b"behind a hole"),
    ];
    recover_events(&mut content, &changes, &mut Forgotten::Unsynced);
    assert_eq!(content, before);
}

#[test]
fn part_of_the_changes_is_taken_back_by_sectors_each_with_one_of_its_earlier_contents() {
    let mut torn = 0;
    for seed in 0..200 {
        let mut content = vec![b'0'; 2048];
        let changes = [written(&mut content, 0, &[b'1'; 2048]), written(&mut content, 0, &[b'2'; 2048])];
        recover_events(&mut content, &changes, &mut Forgotten::PartOfUnsynced(&mut Rng::with_seed(seed)));
        let sectors: Vec<&[u8]> = content.chunks(SECTOR).collect();
        assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0]) && sector.len() == SECTOR));
        torn += usize::from(sectors.iter().any(|sector| sector[0] != sectors[0][0]));
    }
    assert!(torn > 100, "{torn} of 200 are torn");
}

#[test]
fn appended_bytes_are_there_missing_or_zeros() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let mut content = b"kept".to_vec();
        let changes = [written(&mut content, 4, b"new")];
        recover_events(&mut content, &changes, &mut Forgotten::PartOfUnsynced(&mut Rng::with_seed(seed)));
        seen.insert(content);
    }
    let all: [&[u8]; 3] = [b"kept", b"kept\0\0\0", b"keptnew"];
    assert_eq!(seen, all.map(<[u8]>::to_vec).into());
}

#[test]
fn torn_last_record_counts_for_nothing() {
    let mut journal = vec![0; HEAD];
    journal[0] = b'n';
    journal[4] = 3;
    journal.extend(b"/ab");
    assert_eq!(parse(&journal).len(), 1);
    for length in HEAD..journal.len() {
        assert_eq!(parse(&journal[..length]).len(), 0);
    }
    journal.extend(vec![1; HEAD - 1]);
    assert_eq!(parse(&journal).len(), 1);
}

#[test]
fn fsync_makes_durable_what_was_there_when_it_began() {
    let change = |kind, position, text: &str| Record { position, kind, text: text.to_owned(), ..Record::default() };
    let (file, name) = (|position| change(b'w', position, ""), |position| change(b'n', position, "/a/b"));
    let began_at = |kind, at, text| Record { at, ..change(kind, 200, text) };
    let records = [file(0), name(50), file(100), name(150), began_at(b's', 100, ""), began_at(b'd', 100, "/a")];
    let pending = Pending::of(&records, true);
    assert_eq!(pending.contents[&0].iter().map(|change| change.position).collect::<Vec<_>>(), [100]);
    assert_eq!(pending.names.iter().map(|(change, _)| change.position).collect::<Vec<_>>(), [150]);
    let lied = Pending::of(&records, false);
    assert_eq!((lied.contents[&0].len(), lied.names.len()), (2, 2));
}
