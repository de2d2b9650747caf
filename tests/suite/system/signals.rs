//! Signals that other programs send: none of them ends a service without order.

use rustix::process::Signal;
use system_tests::{Installation, wait_until};

#[tokio::test]
async fn hangup_and_user_signals_do_not_end_a_service_and_quit_ends_it_in_order() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    for service in [&mut installation.vault, &mut installation.manager] {
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::HUP] {
            service.signal(signal);
            assert_eq!(service.call("GET", "/health/live").send().await.status, 200);
            assert!(service.is_running(), "{signal:?}");
        }
    }
    assert!(installation.opens(&stored).await);
    for service in [&mut installation.vault, &mut installation.manager] {
        service.signal(Signal::QUIT);
        assert!(service.wait().await.success(), "{}", service.name());
    }
    installation.start().await;
    wait_until("it reads again", async || installation.opens(&stored).await).await;
}
