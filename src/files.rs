//! What files need beyond the standard library.

use std::fs::File;
use std::io;
use std::path::Path;

/// The folder that holds a file.
pub fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes a file's name durable: a file that was created, linked or renamed is found again after a
/// loss of power only when its folder is synced too.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
