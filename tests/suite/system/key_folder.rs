//! The key folder of a running service vanishes and comes back.

use std::fs;

use system_tests::{Installation, wait_until};

#[tokio::test]
async fn key_folder_that_vanishes_is_named_and_what_changes_in_it_counts_again_when_it_is_back() {
    let installation = Installation::running().await;
    let stored = installation.store("value").await;
    for service in [&installation.vault, &installation.manager] {
        let (keys, aside) = (service.keys(), service.data().join("../aside"));
        fs::rename(&keys, &aside).unwrap();
        let named = || {
            service
                .log()
                .lines()
                .filter(|line| line.contains("ERROR") && line.contains(&*keys.to_string_lossy()))
                .count()
        };
        wait_until("it is named", async || named() > 0).await;
        // What works needs the keys in memory only.
        assert!(installation.opens(&stored).await);
        assert!(installation.opens(&installation.store("meanwhile").await).await);
        installation.ready().await;
        assert_eq!(named(), 1, "once, and not every second");
        fs::rename(&aside, &keys).unwrap();
        // A change is taken over: it is followed again.
        let before = service.log().matches("the key folder was read").count();
        let (pin, text) = (keys.join("identity.json"), fs::read(keys.join("identity.json")).unwrap());
        fs::write(pin, text).unwrap();
        wait_until("it is read again", async || service.log().matches("the key folder was read").count() > before)
            .await;
    }
    assert!(installation.opens(&installation.store("later").await).await);
}
