//! What the disk can do: appends of an audit line's size, each on disk before the next.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

/// An audit line of a read has about this many bytes.
const LINE: usize = 420;
const TIME: Duration = Duration::from_secs(2);

/// Appends with `fdatasync` per second in `folder`.
pub(crate) fn syncs_per_second(folder: &Path) -> Result<f64, Failure> {
    let path = folder.join("fdatasync-measurement");
    let mut file = File::options().append(true).create_new(true).open(&path)?;
    let (line, mut count, started) = ([b'x'; LINE], 0_u32, Instant::now());
    while started.elapsed() < TIME {
        file.write_all(&line)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
