//! One file: its lines, and what is found of changes and crashes.

use super::*;

#[tokio::test]
async fn lines_are_chained_and_have_exactly_the_documented_fields() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    fixture.write(1).await;
    let lines = fixture.lines();
    assert_eq!(lines.len(), 3);
    let mut names: Vec<_> = lines[0].as_object().unwrap().keys().cloned().collect();
    names.sort();
    let expected = "action credential ip_address jti key_id previous_hash principal request_id sequence service_name";
    assert_eq!(names.join(" "), format!("{expected} status timestamp user_agent"));
    assert_eq!(lines[0]["previous_hash"], "0".repeat(64));
    let text = std::fs::read_to_string(&fixture.path).unwrap();
    let first = text.lines().next().unwrap();
    assert_eq!(
        lines[1]["previous_hash"],
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, first.as_bytes()))
    );
    assert_eq!(lines[2]["sequence"], 3);
    let agent = lines[0]["user_agent"].as_str().unwrap();
    assert!(agent.starts_with("evil[2Jagent") && agent.chars().count() == 256, "{agent}");
    assert_eq!(std::fs::metadata(&fixture.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(verify(&fixture.path).unwrap(), 3);
}

#[tokio::test]
async fn altered_removed_and_swapped_lines_are_found() {
    let fixture = Fixture::new();
    fixture.write(4).await;
    let good = std::fs::read_to_string(&fixture.path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let wrong = [
        good.replacen("sec_1", "sec_2", 1),
        format!("{}\n{}\n{}\n", lines[0], lines[2], lines[3]),
        format!("{}\n{}\n{}\n{}\n", lines[0], lines[2], lines[1], lines[3]),
        format!("{}\n{}\n{}\n", lines[1], lines[2], lines[3]),
        good.replacen("127.0.0.1", "127.0.0.2", 2),
        format!("{good}garbage\n"),
    ];
    for text in wrong {
        std::fs::write(&fixture.path, &text).unwrap();
        let refusal = fixture.open().map(|_| ()).unwrap_err();
        assert!(refusal.sentence.contains("chain is broken"), "{refusal}");
        assert_eq!(std::fs::read_to_string(&fixture.path).unwrap(), text, "evidence was changed");
    }
    std::fs::write(&fixture.path, good).unwrap();
    fixture.open().unwrap();
}

#[tokio::test]
async fn torn_last_line_is_cut_and_the_chain_goes_on() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    let mut text = std::fs::read_to_string(&fixture.path).unwrap();
    text.push_str("{\"timestamp\":1000,\"serv");
    std::fs::write(&fixture.path, text).unwrap();
    fixture.write(1).await;
    assert_eq!(fixture.lines().len(), 3);
    assert_eq!(verify(&fixture.path).unwrap(), 3);
}

#[tokio::test]
async fn zeros_that_a_power_cut_left_are_kept_and_the_chain_goes_on_beside_them() {
    let fixture = Fixture::new();
    fixture.write(2).await;
    let whole = std::fs::read(&fixture.path).unwrap();
    fixture.write(2).await;
    let four = std::fs::read(&fixture.path).unwrap();
    // Sectors of the two last lines, which were one append, did not reach the disk: within one of them, over the end of
    // the first, all of the first, more than any line.
    let third = whole.len()..whole.len() + (four.len() - whole.len()) / 2;
    for (zeros, longer) in [
        (third.start + 5..third.start + 9, 0),
        (third.start + 5..third.end + 3, 0),
        (third, 0),
        (whole.len()..four.len(), 100_000),
    ] {
        let mut torn = four.clone();
        torn[zeros].fill(0);
        torn.resize(four.len() + longer, 0);
        std::fs::write(&fixture.path, &torn).unwrap();
        assert_eq!(verify(&fixture.path).unwrap(), 2);
        fixture.write(1).await;
        fixture.write(1).await;
        assert_eq!(verify(&fixture.path).unwrap(), 4);
        assert_eq!(std::fs::read(&fixture.path).unwrap(), torn, "it stays as evidence");
        let second = fixture.path.with_file_name("audit-3.jsonl");
        // Torn again, before any line of it was whole.
        std::fs::write(&second, [0; 700]).unwrap();
        fixture.write(1).await;
        assert_eq!(verify(&fixture.path).unwrap(), 3);
        // Zeros in front of a later segment are no end: lines are missing.
        std::fs::write(&fixture.path, [&whole[..10], &[0; 600], &whole[10..]].concat()).unwrap();
        assert!(fixture.open().is_err());
        std::fs::remove_file(second).unwrap();
    }
}

#[tokio::test]
async fn log_that_others_can_read_is_refused() {
    let fixture = Fixture::new();
    fixture.write(1).await;
    std::fs::set_permissions(&fixture.path, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(fixture.open().is_err());
}

#[tokio::test]
async fn line_names_how_its_actor_was_known_and_the_rules_by_which_it_was_decided() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let rules = DecidingRules::default();
    let origin = Origin::of_request("id", "192.0.2.1", "")
        .by(Some("svc_a"), Some("crd_a"))
        .authenticated("session", rules.clone());
    log.append(AuditRecord::new("secret.read", AuditStatus::Success, &origin)).await.unwrap();
    for rule in ["per_1", "per_2", "per_1"].into_iter().chain(["x"; 20]) {
        rules.add(rule);
    }
    for number in 0..20 {
        rules.add(number);
    }
    log.append(AuditRecord::new("secret.read", AuditStatus::Success, &origin)).await.unwrap();
    log.flush_and_close().await;
    let lines = fixture.lines();
    assert_eq!((&lines[0]["method"], lines[0].get("policy")), (&"session".into(), None));
    let expected = serde_json::json!(["per_1", "per_2", "x", "0", "1", "2", "3", "4"]);
    assert_eq!(lines[1]["policy"], expected, "each once, and so many at most");
}

#[test]
fn time_of_a_line_is_that_of_rfc_3339() {
    for (seconds, shown) in [(0, "1970-01-01T00:00:00Z"), (1_796_000_000, "2026-11-30T00:53:20Z")] {
        assert_eq!(record::rfc3339(seconds), shown);
    }
    assert_eq!(record::rfc3339(u64::MAX), u64::MAX.to_string());
}
